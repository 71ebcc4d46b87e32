"""Results on disk: records, files, atomic writing, and tables of many results."""

from eigexp.store.record import build_record, environment, result_id
from eigexp.store.result import Result, arrays_of
from eigexp.store.store import Store

__all__ = ["Result", "Store", "arrays_of", "build_record", "environment", "result_id"]
