"""Patterns of URLs: names of days, days of names, and what is refused where it is declared."""

import datetime as dt

import pytest

from somo.product.patterns import Pattern, pattern_faults

DAY = dt.date(2020, 3, 5)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("s3://b/{domain}/t_{year}_{month}.nc", "s3://b/home/t_2020_03.nc"),
        ("Daily/{year}{doy}.nc", "Daily/2020065.nc"),
        ("{year}/{month}/{day}/imerg.*.nc4", "2020/03/05/imerg.*.nc4"),
        ("t_{year}_{month:d}.nc", "t_2020_3.nc"),
        ("zip://t_{year}.nc::/data/{year}.zip", "zip://t_2020.nc::/data/2020.zip"),
    ],
)
def test_the_name_of_a_day(text, name):
    assert Pattern(text).on(DAY, "home") == name
    assert Pattern(text).matches(name.replace("*", "v7"), "home")
    assert not Pattern(text).matches(f"{name}x", "home")


def test_the_day_of_a_name():
    assert Pattern("{year}{doy}.nc").day_of("2020366.nc", "home") == dt.date(2020, 12, 31)
    assert Pattern("{year}/t_{year}{month}{day}_*.nc").day_of("2020/t_20200305_v1.nc", "home") == DAY
    assert Pattern("{year}{month}{day}.nc").day_of("20201332.nc", "home") is None
    assert Pattern("{year}{month}.nc").day_of("202003.nc", "home") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t_{hour}.nc", r"has \{hour\}; allowed are \{year\}, \{month\}, \{day\}, \{doy\}, \{domain\}"),
        ("t_{month}.nc", r"\{month\} without \{year\}"),
        ("t_{year}{day}.nc", r"\{day\} without \{month\}"),
        ("t_{year}{month}{day}{doy}.nc", "give one of them"),
        ("t_{year.nc", "unbalanced braces"),
        ("ftp://host/t.nc", "begins with ftp://; known are"),
        ("zip://t.nc", "zip://NAME::ARCHIVE"),
        ("https://host/*.nc", "does not list its files"),
        ("t_{year:x}.nc", r"a number is written as \{year\} or \{year:d\}"),
        ("  ", "is empty"),
    ],
)
def test_what_is_wrong_is_told_where_it_is_declared(text, words):
    import re

    assert re.search(words, pattern_faults(text) or "")


def test_a_question_mark_is_no_wildcard_on_the_web():
    assert Pattern("https://host/t.nc?key=1").matches("https://host/t.nc?key=1", "home")
    assert not Pattern("https://host/t.nc?key=1").wild
    assert Pattern("/data/t?.nc").matches("/data/t1.nc", "home")
