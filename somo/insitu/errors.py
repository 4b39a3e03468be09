"""What goes wrong with in-situ data: with an archive as a whole, or with the files of one sensor."""


class InsituError(ValueError):
    """An in-situ archive that cannot be used; the text names it and the remedy."""


class SensorError(ValueError):
    """Files of one sensor that cannot be used; the text says why and becomes the sensor's reason."""
