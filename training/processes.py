"""How many processes train together: what torchrun tells each in its environment."""

import os


def count() -> int:
    """On all machines; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def count_here() -> int:
    """On this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if count() > 1 else 1


def launcher() -> list[str]:
    """The command by which the script was started on each machine."""
    if count() == 1:
        return ["python"]
    here = count_here()
    return ["torchrun", "--nnodes", str(count() // here), "--nproc-per-node", str(here), "--"]
