"""A run ends with the gate's verdict, as the report has it."""

import pandas as pd

from flows.status import _gate
from somo.validate.gate.checks import Result
from somo.validate.report.page import write_report
from somo.validate.sections.section import Section

ABOUT = {"title": "A", "version": "1.0.0", "period": "2014"}


def test_a_run_ends_with_the_gates_verdict(tmp_path):
    report = str(tmp_path / "report.json")
    assert _gate(report) == ""
    section = Section("figS3", "c", b"", pd.DataFrame())
    write_report([section], str(tmp_path), ABOUT, [Result("range", True, "values 0.1..0.4")])
    assert _gate(report) == "\nGate    The gate lets this version pass: all 1 checks hold."
    write_report([section], str(tmp_path), ABOUT, [Result("range", False, "values 0.1..1.4")])
    assert _gate(report).endswith("1 of 1 checks fail (range).\n  range: values 0.1..1.4")
