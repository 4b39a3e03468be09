"""The network: EA-LSTM, its training data, folds, one training run, checkpoints and where they apply."""


class LearnError(ValueError):
    """Training data, a checkpoint or a network that cannot be used; the text names both sides and the remedy."""
