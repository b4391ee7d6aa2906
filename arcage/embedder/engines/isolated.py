"""Try models that are not part of arcage in a worker process, which they may crash, hang or fill."""

from __future__ import annotations

from typing import Any

from arcage.errors import ModelError
from arcage.process import cell

_MAX_TEXT = 1000
"""Maximum length of the message of an exception, characters."""
_SECONDS, _SECONDS_PER_MB = 4.0, 1.0
_MEMORY, _MEMORY_PER_BYTE = 3 << 28, 12


def run_isolated(job: str, args: dict[str, Any], model: bytes) -> cell.Reply:
    """Run a job on a model in a worker process.

    The limits are 4 seconds and 768 MB, and for each megabyte of the model 1 second and 12 MB more.

    Args:
        job: name of a job, ``module:function``, that gives one reply. One that raises ModelError replies with
            the result of :func:`model_error`.
        args: JSON values for the job.
        model: the ONNX file's bytes.

    Raises:
        ModelError: the error of the job; or it takes too much memory or time, or crashes.
    """
    seconds = _SECONDS + _SECONDS_PER_MB * len(model) / 1e6
    memory = _MEMORY + _MEMORY_PER_BYTE * len(model)
    try:
        reply = cell.run_once(job, args, model, limits=cell.CellLimits(memory, seconds))
    except cell.CellTimeoutError:
        raise ModelError(
            f"the model takes longer than {seconds:.0f} seconds to load and run once: it is damaged or no "
            "face network, or the machine is very busy"
        ) from None
    except cell.CellMemoryError:
        raise ModelError(
            f"the model takes more than {memory / 1e6:,.0f} MB to load and run once: it is damaged or no "
            "face network"
        ) from None
    except cell.CellDiedError as error:
        raise ModelError(f"the model cannot be loaded: {error}; get it again") from None
    if isinstance(text := reply.header.get("model_error"), str):
        raise ModelError(text[:_MAX_TEXT])
    return reply


def model_error(error: ModelError) -> tuple[dict[str, Any], bytes]:
    """Return the reply of a job that raised ModelError."""
    return {"model_error": str(error)[:_MAX_TEXT]}, b""
