"""One file a format: where the values of a variable lie in a source file, and what the file says of them."""

# First of all: ecCodes' eckit puts its own libproj before everyone's, and a pyproj that comes after it finds no
# database of projections, then crashes the process.
import pyproj  # noqa: F401
