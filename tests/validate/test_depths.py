"""Layers stand in the order of their declaration, whatever their names are."""

import pandas as pd

from somo.validate.depths import in_declared_order, layer_names, naming_depths
from somo.validate.report.page import render
from somo.validate.report.verdict import verdict
from somo.validate.sections.section import Section
from somo.validate.sections.skill import split_section

DEPTHS = {"top": "0-5 cm", "middle": "5-20 cm", "deep": "20-50 cm"}


def test_layers_are_in_declared_order_and_others_follow_by_name():
    table = pd.DataFrame({"layer": ["deep", "top", "middle", "deep"]})
    assert layer_names(table) == ["deep", "middle", "top"]
    with naming_depths(DEPTHS):
        assert layer_names(table) == ["top", "middle", "deep"]
    assert in_declared_order({"b": 0, "deep": 0, "a": 0}, DEPTHS) == ["deep", "a", "b"]


def test_tables_figures_and_verdict_go_downward():
    days = pd.date_range("2015-01-01", periods=12)
    rows = [
        pd.DataFrame({"domain": "home", "cell": cell, "layer": layer, "time": days, "fold": cell})
        for layer in ("deep", "middle", "top")
        for cell in (0, 1)
    ]
    pairs = pd.concat(rows, ignore_index=True)
    pairs = pairs.assign(y=[0.1 + 0.01 * (k * k % 7) for k in range(len(pairs))]).assign(y_hat=lambda t: t["y"] + 0.01)
    with naming_depths(DEPTHS):
        section = split_section(pairs, "figS3", "How.")
    texts = section.figure.decode()
    assert texts.index("0-5 cm: cell means") < texts.index("20-50 cm: cell means")
    assert [sentence.split(":")[0] for sentence in verdict([section], DEPTHS)] == list(DEPTHS.values())
    page = render([section], {"title": "A", "version": "1", "period": "2015"}, depths=DEPTHS)
    assert page.index("<td>0-5 cm</td>") < page.index("<td>5-20 cm</td>") < page.index("<td>20-50 cm</td>")


def test_rows_keep_their_groups():
    shown = pd.DataFrame({"network": ["A", "A", "B", "B"], "layer": ["deep", "top"] * 2, "cells": [1, 2, 3, 4]})
    page = render(
        [Section("groups", "c", b"", pd.DataFrame(), shown)], {"title": "A", "version": "1", "period": "2015"},
        depths=DEPTHS,
    )  # fmt: skip
    assert [page.index(f"<td>{cells}</td>") for cells in (2, 1, 4, 3)] == sorted(
        page.index(f"<td>{cells}</td>") for cells in (1, 2, 3, 4)
    )
