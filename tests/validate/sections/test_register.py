"""The register of the report's sections."""

import pandas as pd
import pytest

from somo.validate.sections.register import ReportSection
from somo.validate.sections.section import Section


def test_a_section_has_one_name():
    def drawn(judged):
        return Section("counts", "How many sensors there are.", b"<svg/>", pd.DataFrame())

    with pytest.raises(ValueError, match="count: its maker calls the section 'counts'; give both the same name"):
        ReportSection("count", "Sensors, counted", drawn, ("stations",)).make(None)
