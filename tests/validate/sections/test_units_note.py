import pytest

from somo.validate.sections.section import TITLES
from somo.validate.sections.units_note import units_note


@pytest.mark.parametrize("name", sorted(set(TITLES) - {"fig2", "fig3"}))
def test_pooled_units_are_told_wherever_numbers_have_units(name):
    assert 'scaling = "pooled"' in units_note(name, "pooled")
    assert units_note(name, "none") == ""


def test_comparison_with_series_that_are_not_scaled_is_told():
    assert "not scaled" in units_note("fig5a", "pooled")
    assert "reference model" in units_note("fig5a", "reference")
    assert "tell errors of the dynamics alone" in units_note("figS3", "pooled")
