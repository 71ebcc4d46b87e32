from pathlib import Path

import pytest

from eigexp.system.wandb_key import has_wandb_key


def netrc(folder: Path, machine: str, key: str = "k" * 40) -> dict[str, str]:
    path = folder / "netrc"
    path.write_text(f"machine {machine} login user password {key}\n")
    return {"NETRC": str(path)}


@pytest.mark.parametrize(
    ("url", "machine"),
    [
        (None, "api.wandb.ai"),
        ("https://wandb.lab.example", "wandb.lab.example"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://localhost:8080/", "localhost:8080"),
        ("https://lab.example/wandb", "lab.example"),
        ("https://lab.example:8443/tools/wandb/", "lab.example:8443"),
    ],
)
def test_the_key_is_looked_up_by_host_and_port(tmp_path, url, machine):
    variables = netrc(tmp_path, machine) | ({} if url is None else {"WANDB_BASE_URL": url})
    assert has_wandb_key(variables)
    assert not has_wandb_key(variables | {"WANDB_BASE_URL": "https://elsewhere.org"})


@pytest.mark.parametrize("url", ["http://localhost:8080", "https://lab.example/wandb"])
def test_wandb_looks_it_up_in_the_same_way(tmp_path, monkeypatch, url):
    wbauth = pytest.importorskip("wandb.sdk.lib.wbauth")
    for machine in ("localhost:8080", "localhost", "lab.example", "lab.example/wandb"):
        variables = netrc(tmp_path, machine) | {"WANDB_BASE_URL": url}
        monkeypatch.setenv("NETRC", variables["NETRC"])
        assert has_wandb_key(variables) == bool(wbauth.read_netrc_auth(host=wbauth.HostUrl(url)))


@pytest.mark.parametrize(
    ("machine", "url"),
    [("localhost:8080", "http://localhost:8080"), ("lab.example", "https://lab.example/wandb/"), ("api.wandb.ai", "")],
)
def test_a_key_is_found_as_wandb_itself_writes_it(tmp_path, monkeypatch, machine, url):
    wbauth = pytest.importorskip("wandb.sdk.lib.wbauth")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    here = {"NETRC": str(tmp_path / "netrc"), "WANDB_BASE_URL": url}
    assert not has_wandb_key(here)
    wbauth.write_netrc_auth(host=url or "https://api.wandb.ai", api_key="k" * 40)
    assert f"machine {machine}" in (tmp_path / "netrc").read_text()
    assert has_wandb_key(here) and not has_wandb_key({**here, "WANDB_BASE_URL": "http://localhost:9090"})


def test_the_environment_comes_first(tmp_path):
    assert has_wandb_key({"WANDB_API_KEY": "x", "NETRC": str(tmp_path / "absent")})
    assert not has_wandb_key({"WANDB_API_KEY": "", "NETRC": str(tmp_path / "absent")})


def test_a_file_that_cannot_be_parsed_or_has_an_empty_key_gives_none(tmp_path):
    assert not has_wandb_key(netrc(tmp_path, "api.wandb.ai", '""'))
    (tmp_path / "netrc").write_text("machine\n")
    assert not has_wandb_key({"NETRC": str(tmp_path / "netrc")})


def test_the_file_is_that_of_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_wandb_key({})
    netrc(tmp_path, "api.wandb.ai")
    (tmp_path / "netrc").rename(tmp_path / ".netrc")
    assert has_wandb_key({})
