"""A cell that keeps a processor busy. Without a decorator, so that two specs can give it two names."""

import time


async def hog(seconds: float) -> int:
    """Count for so long, without a single await."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count += 1
    return count
