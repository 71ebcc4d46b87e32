"""Results on disk: what one is, where it lies, how it gets there whole, and many of them as a table."""

from eigexp.store.record import build_record, environment, result_id
from eigexp.store.result import Result, arrays_of
from eigexp.store.store import Store

__all__ = ["Result", "Store", "arrays_of", "build_record", "environment", "result_id"]
