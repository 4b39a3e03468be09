import pytest

from somo.validate.sections.register import SECTIONS
from somo.validate.sections.units_note import units_note


@pytest.mark.parametrize("name", sorted(set(SECTIONS) - {"fig2", "fig3"}))
def test_pooled_units_are_told_wherever_numbers_have_units(name):
    assert 'scaling = "pooled"' in units_note(SECTIONS[name].numbers, "pooled")
    assert units_note(SECTIONS[name].numbers, "none") == ""


def test_comparison_with_series_that_are_not_scaled_is_told():
    assert "not scaled" in units_note(SECTIONS["fig5a"].numbers, "pooled")
    assert "reference model" in units_note(SECTIONS["fig5a"].numbers, "reference")
    assert "tell errors of the dynamics alone" in units_note(SECTIONS["figS3"].numbers, "pooled")
