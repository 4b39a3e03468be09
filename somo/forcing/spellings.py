"""How producers spell units, and what they mean: rewritten before pint parses them."""

import re

WORDS = {
    # what UDUNITS writes for a temperature from the freezing point on
    "k @ 273.15": "degC", "k@273.15": "degC", "℃": "degC",
    "%": "percent", "pct": "percent", "per cent": "percent", "percentage": "percent",
    "vol%": "percent", "vol.%": "percent",
    # pint multiplies words that stand side by side: "percent (%)" would be a ten-thousandth
    "percent (%)": "percent", "vol %": "percent", "vol. %": "percent", "% vol": "percent", "% volume": "percent",
    "percent volume": "percent", "volume percent": "percent",
    "-": "1", "": "1", "none": "1", "unitless": "1", "fraction": "1", "[-]": "1", "dimensionless": "1", "(0 - 1)": "1",
    "0-1": "1", "proportion": "1",
    "millimeter": "mm", "millimeters": "mm", "millimetre": "mm", "millimetres": "mm",
    "meter": "m", "meters": "m", "metre": "m", "metres": "m",
    "w/m2": "W m-2", "w/m^2": "W m-2", "w m-2": "W m-2", "wm-2": "W m-2", "mm": "mm",
    "watts m-2": "W m-2", "watt m-2": "W m-2", "joules m-2": "J m-2", "joule m-2": "J m-2",
    "watts per square meter": "W m-2", "watts per square metre": "W m-2",
}  # fmt: skip
"""Whole units, in lower case."""
TEMPERATURE = re.compile(
    r"(?:(?:deg(?:ree)?s?|grad|[°º˚o])[ ._-]*)?(?:(?P<degC>c|celsius|celcius|centigrade)|(?P<K>k|kelvins?)|"
    r"(?P<degF>f|fahrenheit))[.°]?",
    re.IGNORECASE,
)
"""A temperature with or without degrees. pint takes C for the coulomb and "degrees C" for coulombs times degrees."""
WATER = re.compile(r"\s*\(?\b(of )?(liquid )?(water|h2o|w\.?\s?e\.?|we)( equivalent)?(?![A-Za-z])\.?\)?", re.IGNORECASE)
"""What producers say of a depth besides its units, as in "m of water equivalent", "mm w.e." and "mm H2O"."""
TENTHS = re.compile(r"^tenths? of (an? )?", re.IGNORECASE)
"""A factor in words, as in "tenths of degrees C" of station networks."""
FACTOR = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(?:\*\s*)?((?:[A-Za-z°º˚℃%]).*)")
"""A number before units, as in "0.1 deg C"."""
TOKENS = (
    (r"\bper\b", "/"),
    # factors of time, as in "mm/3hr" and "mm (3 h)-1": the number becomes a divisor, as brackets are dropped below
    (r"(?i)/\s*\(?(\d+)[ -]?(h|hrs?|hours?|d|days?|min)\b\)?", r"/\1/\2"),
    (r"(?i)(?<![-^*\w.])\(?(\d+)[ -]?(h|hrs?|hours?|d|days?|min)\)?\^?-1\b", r"/\1/\2"),
    # and of mass and volume, as in "g/100g" and "cm3/100cm3"
    (r"([A-Za-z]\d?)\s*/\s*(\d+) ?(?=[A-Za-z])", r"\1/\2/"),
    # units without a space between them, as in "Wm-2", "kgm-2s-1" and "Ws"
    (r"\b(k?W|[kM]?J|kg)m(?=(\^|\*\*)?-\d)", r"\1 m"),
    (r"(?<=-\d)(?=[A-Za-z])", " "),
    (r"\b(k?W)s\b", r"\1 s"),
    (r"\(([^()]*)\)", r"\1"),
    (r"(?i:\bwatts?\b)", "W"),
    (r"(?i:\bjoules?\b)", "J"),
    (r"(?i:\bmillimet(er|re)s?\b)", "mm"),
    (r"(?i:\bmet(er|re)s?\b)", "m"),
    # pint takes MM for a million moles a litre
    (r"(?i:\bmm\b)", "mm"),
    (r"(?i:\b(kilograms?|kg)\b)", "kg"),
    (r"(?i:\b(days?|dy)\b)", "d"),
    (r"(?i:\b(hours?|hrs?)\b)", "h"),
    (r"(?i:\b(seconds?|secs?)\b)", "s"),
    # of radiation; pint knows it as the light year
    (r"\bly\b", "langley"),
    (r"\bmonths?\b", "month"),
    (r"\b(d|h|s|m)\^?-1\b", r"\1-1"),
)
"""Words within units."""


def rewritten(units: str) -> str:
    """Units in the notation of CF and UDUNITS, as far as a producer's spelling is known.

    >>> rewritten("kg m-2 day-1"), rewritten("mm/day"), rewritten("degrees C")
    ('kg m-2 d-1', 'mm/d', 'degC')
    """
    text = re.sub(r"\s+", " ", units.strip())
    if in_brackets := re.fullmatch(r"[\[(]([^\[\]()]+)[\])]", text):
        text = in_brackets[1].strip()
    usual_notation = WORDS.get(text.lower())
    if usual_notation is not None:
        return usual_notation
    if temperature := TEMPERATURE.fullmatch(text):
        return str(temperature.lastgroup)
    text = TENTHS.sub("0.1 ", text)
    if factor := FACTOR.fullmatch(text):
        return f"{float(factor[1]):g} {rewritten(factor[2])}"
    text = text.replace("²", "2").replace("³", "3").replace("⁻", "-").replace("¹", "1").replace("·", " ")
    # the minus and the dash of texts
    text = text.replace("−", "-").replace("–", "-")
    text = WATER.sub("", text)
    # a dot between two units multiplies them; one between digits is a decimal point
    text = re.sub(r"(?<=[A-Za-z0-9])\.(?=[A-Za-z])", " ", text)
    # without this the brackets of "kg/(m2 s)" would be dropped and its seconds multiply
    text = re.sub(r"/\s*\(([A-Za-z][^()/]*)\)", lambda divisors: "/" + re.sub(r"[ *]+", "/", divisors[1].strip()), text)
    for pattern, word in TOKENS:
        text = re.sub(pattern, word, text)
    return re.sub(r"\s+", " ", text).strip()
