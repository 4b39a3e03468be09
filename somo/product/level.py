"""What the level of the published values is, in sentences: every text that readers see takes them from this module.

A product of rescaled series looks exactly like one of measured series: only words tell its readers that a difference
between two places, or an interval, means something else.
"""

from somo.product.declaration import Product


def level_sentence(product: Product) -> str:
    """What the level and spread of the published values are, by `targets.scaling`, in one sentence for readers."""
    if product.targets.scaling == "pooled":
        return (
            "Level: pooled. Before learning, the series of every station was given the mean and spread of all stations "
            "of its layer: the values do not tell whether one place is wetter than another, and their uncertainty is "
            "that of a series rescaled in this way."
        )
    if product.targets.scaling == "reference":
        return (
            "Level: reference. Before learning, the series of every station was given the mean and spread of the "
            f"{reference_model(product)} in its cell: how wet a place is beside another is that model's answer, and "
            "the uncertainty is that of a series rescaled in this way."
        )
    return "Level: none was imposed. The model learnt from the stations' own values: level and spread are theirs."


def interval_subject(product: Product) -> str:
    """Which measurement the published interval holds, to be put after `the daily mean`."""
    found = "as a measurement in the cell would find it"
    if product.targets.scaling == "pooled":
        return f"{found} after its series was brought to the mean and spread of its layer, not of its own values"
    if product.targets.scaling == "reference":
        return f"{found} after its series was brought to the level and spread of the {reference_model(product)}"
    return found


def reference_model(product: Product) -> str:
    """The reference model by its declared name, else by the variables that are read from its files."""
    if product.publication.reference_model:
        return f"reference model {product.publication.reference_model}"
    variables = dict.fromkeys(str(layer.source.variable) for layer in product.targets.reference)
    return f"reference model (variables {', '.join(variables)})"
