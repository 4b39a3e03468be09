import datetime as dt

import numpy as np
import pandas as pd
import pytest

from somo.validate.sections.figures import canvas, date_locator, draw_series, legend_below, svg


def test_dates_have_places_for_any_span():
    """Warnings are errors: of every number of days up to six years, and of decades, each has its interval."""
    for days in (*range(1, 120), *range(120, 2200, 7), *range(2200, 40_000, 900)):
        start = dt.datetime(2003, 1 + days % 12, 1 + days % 28)
        ticks = date_locator().tick_values(start, start + dt.timedelta(days))
        assert 2 <= len(ticks) <= 10, days


@pytest.mark.parametrize("days", [1, 90, 366, 1000])
def test_series_are_drawn_without_warnings(days):
    with canvas(1, 1, 3, 2) as (figure, axes):
        series = pd.Series(np.arange(days, dtype=float), pd.date_range("2003-01-01", periods=days))
        draw_series(axes[0, 0], series, "k", "x")
        assert b"</svg>" in svg(figure)


@pytest.mark.parametrize("width", [3.0, 12.0])
def test_no_legend_reaches_beyond_its_figure(width):
    with canvas(1, 1, width, 3.0) as (figure, axes):
        for k in range(7):
            axes[0, 0].plot([0, 1], [k, k], label=f"a product with a long name {k}")
        legend_below(figure, axes[0, 0])
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 7
    assert legend.get_window_extent().width <= figure.bbox.width
