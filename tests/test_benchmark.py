"""The benchmark measures what it says: one tiny case through its own functions. Nothing here depends on how fast the machine is."""

import copy
import json
import sys

import pytest

from scripts.benchmark.cases import ALL, QUICK, Case
from scripts.benchmark.measure import machine, run_case
from scripts.benchmark.present import figure, markdown
from scripts.benchmark.relative import CASES as RELATIVE
from scripts.benchmark.relative import relative_bottom
from scripts.gpu import main as estimate
from scripts.scale import measure
from tests.docs.documented import arguments, commands
from tests.sweep.sweeps import environment
from tests.warm import commands as warm

pytestmark = [pytest.mark.xdist_group("benchmark")]

METHODS = ["eigexp, pairs alone", "ARPACK", "ARPACK BE", "LOBPCG", "torch.lobpcg"]


@pytest.fixture(scope="module")
def results():
    case = run_case(Case.of("ln16"), METHODS, 10.0, lambda _: None)
    return json.loads(json.dumps({"machine": machine(), "cap": 10.0, "cases": [case]}))


def runs_of(results):
    return {run["method"]: run for run in results["cases"][0]["runs"]}


@pytest.mark.slow(1)
def test_eigexp_comes_first_and_is_right(results):
    assert [run["method"] for run in results["cases"][0]["runs"]] == ["eigexp", *METHODS]
    eigexp = runs_of(results)["eigexp"]
    assert eigexp["top"]["error"] < 1e-4
    assert eigexp["bottom"]["error"] < 1e-4
    assert eigexp["ratio"] == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_peers_agree_and_their_products_are_counted(results, method):
    run = runs_of(results)[method]
    assert not run["stopped"]
    assert run["fvps"] > 5
    assert run["top"]["error"] < 1e-3
    assert run["bottom"]["error"] < 1e-3


def test_a_matrix_costs_half_a_product_a_column(results):
    assert runs_of(results)["torch.lobpcg"]["fvps"] == 16 * 16 / 2


def test_a_peer_stops_at_the_cap():
    case = run_case(Case.of("ln16"), ["ARPACK", "plenoptic"], 0.0, lambda _: None)
    eigexp, *peers = case["runs"]
    assert not eigexp["stopped"]
    assert [(run["stopped"], run["note"], run["top"]) for run in peers] == [(True, "stopped at 0 s", {})] * 2


@pytest.mark.slow(2)
def test_plenoptic_is_counted_by_columns_through_its_own_functions(results):
    pytest.importorskip("plenoptic")
    case = run_case(Case.of("lg20"), ["plenoptic"], 2.0, lambda _: None)
    run = case["runs"][1]
    assert run["fvps"] >= 4
    assert run["top"]["error"] < 1e-3 if run["top"] else run["stopped"]


def test_markdown_has_a_row_a_case_and_a_column_a_method(results):
    both = copy.deepcopy(results)
    both["cases"].append(both["cases"][0] | {"label": "another"})
    rows = [line for line in markdown(both).splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == 3 * ["| case", "| LN, 16²", "| another"]
    assert all(row.count("|") == rows[0].count("|") for row in rows)


def test_a_run_that_was_stopped_or_failed_or_unsuitable_is_shown_as_such(results):
    changed = copy.deepcopy(results)
    runs = {run["method"]: run for run in changed["cases"][0]["runs"]}
    runs["ARPACK"] |= {"stopped": True, "note": "stopped at 10 s", "seconds": 10.0}
    runs["LOBPCG"] |= {"stopped": True, "note": "failed: no convergence", "seconds": 1.0}
    products, seconds, errors = (line for line in markdown(changed).splitlines() if line.startswith("| LN, 16²"))
    eigexp = runs["eigexp"]["seconds"]
    assert f"| > {runs['ARPACK']['fvps']:.0f} |" in products
    assert f"| > {10 / eigexp:.2g} |" in seconds and "| failed |" in seconds
    assert errors.count("| – ") == 2
    assert figure(changed).startswith(b"\x89PNG")


def test_a_bottom_relative_to_itself_is_measured_against_dense_truth(results):
    record = json.loads(json.dumps(relative_bottom(Case.of("eff0-12"), 1e6, ["sparse", "exact"])))
    runs = {run["method"]: run for run in record["runs"]}
    assert [runs[name]["error"] < 1e-3 for name in ("sparse", "exact")] == [True, True]
    assert runs["exact"]["fvps"] == 12 * 12 * 3 / 2 + 2
    assert 50 < runs["sparse"]["fvps"] < 200
    rows = [line for line in markdown(results | {"relative": [record]}).splitlines() if line.startswith("| sparse")]
    assert len(rows) == 1
    late = relative_bottom(Case.of("eff0-12"), 0.0, ["krylov", "ARPACK"])
    assert [(run["stopped"], run["value"]) for run in late["runs"]] == [(True, None)] * 2


def test_a_peer_that_is_not_installed_is_named_and_left_out(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "primme", None)  # importing it raises what a missing package raises
    case = run_case(Case.of("ln16"), ["PRIMME"], 10.0, lambda _: None)
    assert [(run["method"], run["seconds"]) for run in case["runs"][1:]] == [("PRIMME", None)]
    assert case["runs"][1]["note"] == "not installed"
    record = relative_bottom(Case.of("eff0-12"), 10.0, ["exact", "PRIMME"])
    rows = markdown(results | {"cases": [case], "relative": [record]}).splitlines()
    assert "| PRIMME | not installed | – | – | – |" in rows
    assert rows.count("| case | n | m | eigexp |") == 3


@pytest.fixture(scope="module")
def several():
    case = run_case(Case.of("ln16-k3-float64"), [*METHODS, "PRIMME", "matfree"], 20.0, lambda _: None)
    return {run["method"]: run for run in case["runs"] if run["seconds"] is not None}


@pytest.mark.slow(1)
def test_several_pairs_in_float64_are_all_compared(several):
    for method in ("eigexp", "ARPACK", "ARPACK BE", "LOBPCG", "torch.lobpcg"):
        assert not several[method]["stopped"]
        for end in ("top", "bottom"):
            assert len(several[method][end]["values"]) == 3
            assert several[method][end]["error"] < 1e-10
            assert several[method][end]["residual"] < 1e-6


@pytest.mark.slow(1)
@pytest.mark.parametrize("method", ["PRIMME", "matfree"])
def test_other_peers_agree_where_they_are_installed(several, method):
    if method not in several:
        pytest.skip(f"{method} is not installed")
    assert [several[method][end]["error"] < 1e-10 for end in ("top", "bottom")] == [True, True]


@pytest.mark.slow(1)
def test_the_largest_pairs_alone():
    case = run_case(Case.of("ln16-top3"), [*METHODS, "svds", "pullback", "matfree"], 60.0, lambda _: None)
    runs = {run["method"]: run for run in case["runs"]}
    left_out = {method for method, run in runs.items() if run["seconds"] is None and run["note"] != "not installed"}
    assert left_out == {"ARPACK BE"}  # it computes both ends
    for run in (run for method, run in runs.items() if run["seconds"] is not None):
        assert run["bottom"] == {} and not run["stopped"]
        assert run["top"]["error"] < 1e-3
    assert runs["pullback"]["fvps"] % 3 == 0 and runs["pullback"]["fvps"] >= 12 * 3
    assert runs["pullback"]["fvps"] == 3 * int(runs["pullback"]["note"].split()[0])
    assert "LN, 16², 3 largest" in markdown({"machine": machine(), "cap": 60.0, "cases": [case]})


def test_a_peer_of_one_end_leaves_out_cases_of_both(results):
    case = run_case(Case.of("ln16"), ["pullback"], 10.0, lambda _: None)
    assert case["runs"][1]["note"] == "computes the largest pairs alone"


def test_memory_of_a_case_is_measured():
    row = measure("onoff16")
    assert row["n"] == 256 and row["products"] > 20
    assert 8 * 256 * 4 <= row["basis"] <= 256 * 256 * 4
    assert row["model"] > 0 and row["peak"] >= 0


def test_every_listed_case_has_a_model():
    assert [Case.of(name).name for name in [*ALL, *RELATIVE]] == [*ALL, *RELATIVE]
    assert set(QUICK) <= set(ALL)
    with pytest.raises(SystemExit, match="onof64"):
        Case.of("onof64")


@pytest.mark.slow(1)
@pytest.mark.parametrize("command", [c for c in commands() if "scripts.benchmark" in c])
def test_as_the_page_says(command, tmp_path):
    (tmp_path / "outputs").mkdir()
    small = ["--cases", "lg16", "--methods", "ARPACK", "--no-costs"]
    done = warm.run(*arguments(command)[1:], *small, cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stderr
    assert "LG, 16²" in done.stdout
    for path in (argument for argument in arguments(command) if argument.startswith("outputs/")):
        assert (tmp_path / path).stat().st_size > 500


def test_kernels_and_bytes_of_a_product_are_counted(capsys):
    assert "python -m scripts.gpu" in commands()
    estimate(["onoff32"])
    header, row = (line.split(" | ") for line in capsys.readouterr().out.splitlines()[1::2])
    found = dict(zip((cell.strip("| ") for cell in header), (cell.strip("| ") for cell in row), strict=True))
    assert found["case"] == "OnOff, 32²"
    # Two stages of two sides, there and back, are eight products of matrices.
    assert 8 <= int(found["kernels"]) < 100
    assert int(found["launches, µs"]) == 5 * int(found["kernels"])
