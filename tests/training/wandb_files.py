"""What W&B wrote offline, read back."""

import json
import struct
import time


def records(path):
    """The records of a .wandb file: LevelDB's log framing after a header of 7 bytes, each record a protobuf message."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, whole = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        _, size, kind = struct.unpack("<IHB", data[position : position + 7])
        if kind == 0:  # zeros that fill a block
            position += room
            continue
        if position + 7 + size > len(data):  # W&B's process is still writing it
            return
        whole += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # full, last
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def closed(folder, name):
    """The .wandb file of a run, once W&B's own process has written its last record: `finish` does not wait for the disk."""
    deadline = time.monotonic() + 900
    while True:
        (path,) = folder.glob(f"wandb/offline-run-*-{name}/run-{name}.wandb")
        if any(record.WhichOneof("record_type") == "exit" for record in records(path)):
            return path
        assert time.monotonic() < deadline, f"{path} has no last record"
        time.sleep(0.05)


def history(path):
    rows = []
    for record in records(path):
        if record.WhichOneof("record_type") == "history":
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item})
    return rows


def value_of(value: str):
    """A value of a history row or a summary."""
    return json.loads(value)


def summary(path):
    """The run's summary."""
    found = {}
    for record in records(path):
        if record.WhichOneof("record_type") == "summary":
            found.update({item.key: value_of(item.value_json) for item in record.summary.update if item.key})
    return found


def config(path):
    """The run's configuration."""
    run = next(record.run for record in records(path) if record.WhichOneof("record_type") == "run")
    return {item.key: value_of(item.value_json) for item in run.config.update}


def kind(path, name):
    """All records of a kind."""
    return [getattr(record, name) for record in records(path) if record.WhichOneof("record_type") == name]


def media(path):
    """Pictures and tables by their keys, each a dict of what W&B knows of it."""
    found = {}
    for row in kind(path, "history"):
        for item in row.item:
            if len(item.nested_key) == 2:
                key, field = item.nested_key
                found.setdefault(key, {})[field] = value_of(item.value_json)
    return found
