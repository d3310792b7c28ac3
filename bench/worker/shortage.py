"""How it shows that memory has run out, and what a person can do about it.

Of the host, of the device, or of what a DataLoader's processes share.
"""

from bench.machine import memory

# What a framework's error says when memory has run out
OUT_OF_MEMORY = (
    *("out of memory", "resource_exhausted", "bad_alloc", "allocate memory", "memoryerror"),
    *("oom when allocating", "alloc_failed", "failed to map segment", "pthread_create failed"),
)
# What it says where the processes of a DataLoader found no room for a batch
OUT_OF_SHARED = ("for file </torch", "to file </torch", "out of shared memory")


def shows(text: str) -> bool:
    """Whether an error or a log says that memory, shared or not, has run out."""
    return any(words in text.lower() for words in (*OUT_OF_MEMORY, *OUT_OF_SHARED))


def hint(text: str, device: str) -> str:
    """What to do about an error that says so, in a worker that computes on `device`."""
    shared = memory.shared_mib()
    if shared and any(words in text.lower() for words in OUT_OF_SHARED):
        return (
            f"{shared.bound} has {shared.mib:,.0f} MiB free: enlarge it (docker run --shm-size), "
            "or take --input numpy or a smaller --batch-size"
        )
    if device != "cpu":
        return "take a smaller --batch-size, or fewer contenders at once by --impl"
    remedy = "take a smaller --batch-size, fewer contenders at once by --impl, or allow more"
    return f"{memory.stated()}: {remedy}"
