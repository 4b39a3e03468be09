"""What workers of the tests compute, in a module of its own, since they import it and the tests import a lot."""

import time


def double(number: int, seconds: float = 0) -> int:
    time.sleep(seconds)
    return 2 * number


def trained_slowly(*arguments: object) -> str:
    """Train a network as the stage does, a second an epoch, and keep its state after each."""
    import pytest

    from flows.stages.train import train_network
    from somo.learn import fit
    from somo.learn.resume import Progress

    whole_epoch = fit._Trainer.epoch

    def slow(trainer: fit._Trainer, progress: Progress) -> Progress:
        time.sleep(1)
        return whole_epoch(trainer, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "SAVE_SECONDS", 0.0)
        patch.setattr(fit._Trainer, "epoch", slow)
        return train_network(*arguments)
