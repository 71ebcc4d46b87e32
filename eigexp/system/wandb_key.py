"""Whether W&B would find an API key here. The key itself is neither returned nor sent."""

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

_DEFAULT_URL = "https://api.wandb.ai"


def has_wandb_key(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether W&B would find a key: in the environment, or for its server in the netrc file that `wandb login` writes.

    W&B stores a key under host and port of the server, without the path: "localhost:8080" for WANDB_BASE_URL=http://localhost:8080/wandb.

    Args:
        environment: variables; those of the process by default.
    """
    variables = os.environ if environment is None else environment
    if variables.get("WANDB_API_KEY"):
        return True
    server = urlsplit(variables.get("WANDB_BASE_URL") or _DEFAULT_URL).netloc
    try:
        entry = netrc.netrc(_netrc_file(variables)).authenticators(server)
    except (OSError, netrc.NetrcParseError):
        return False
    return entry is not None and bool(entry[2])


def _netrc_file(variables: Mapping[str, str]) -> Path:
    if variables.get("NETRC"):
        return Path(variables["NETRC"]).expanduser()
    usual = Path.home() / ".netrc"
    return usual if usual.exists() else Path.home() / "_netrc"
