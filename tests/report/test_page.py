"""The page holds every result and nothing that runs but its own script."""

import re
import shlex
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from eigexp.errors import ConfigurationError, StoreError
from eigexp.images import Image
from eigexp.report import cards, page
from eigexp.report.page import write_page
from eigexp.store import Store
from tests.store.fakes import fake_curves, fake_image, fake_pairs, fake_record, write_fake

EVIL = "<script>document.title='hacked'</script>\"'&é画像 </script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Counts tags, and keeps every attribute's value."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.values: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def write_evil(root) -> str:
    image = fake_image((1, 16, 16), EVIL)
    pairs = fake_pairs((1, 16, 16), notes=(EVIL,), status="budget", verified=False)
    record = fake_record(pairs, image, EVIL, layer=EVIL, command=EVIL)
    Store(root).write(record, pairs, image, fake_curves(pairs), {"x": EVIL})
    return record["id"]


def test_every_result_has_its_numbers_pictures_and_command(tmp_path):
    ids = [write_fake(tmp_path, model) for model in ("ln", "onoff")]
    path = write_page(Store(tmp_path), tmp_path / "page.html")
    text = path.read_text()
    tags = Tags(text)
    assert tags.tags.count("canvas") == 4  # one a distortion; those of the grid are made by the script
    assert tags.tags.count("article") == 2
    for id in ids:
        assert ("id", f"r-{id}") in tags.values
    assert text.count("--config-name=config") == 2
    words = " ".join(tags.texts)
    for part in ("λ = 10", "λ in [7,\u00a013]×10⁻⁵", "Krylov evidence", "212 products, 12 s on cpu", "[5.62, 5.94]"):
        assert part in words, part


def test_names_are_shown_and_never_run(tmp_path):
    write_evil(tmp_path)
    text = write_page(Store(tmp_path), tmp_path / "page.html", title=EVIL).read_text()
    tags = Tags(text)
    assert tags.tags.count("script") == 1
    assert tags.tags.count("img") == 1 + 2 + 2  # the image and the distortions of the grid, and their places on the card
    assert not [name for name, _ in tags.values if name.startswith("on")]
    assert "".join(tags.texts).count("document.title='hacked'") >= 5


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    write_fake(tmp_path)
    text = write_page(Store(tmp_path), tmp_path / "page.html").read_text()
    links = [value for name, value in Tags(text).values if name in ("src", "href")]
    assert all(value.startswith(("data:", "#")) for value in links)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)


@pytest.mark.parametrize("shape", [(3, 16, 16), (40,), (2, 9, 9), (1, 1, 1), (1, 400, 90)])
def test_other_shapes_are_shown_too(tmp_path, shape):
    write_fake(tmp_path, image=fake_image(shape))
    tags = Tags(write_page(Store(tmp_path), tmp_path / "page.html").read_text())
    assert "svg" in tags.tags


def test_a_result_that_is_all_zero_is_shown(tmp_path):
    write_fake(tmp_path, eigenvalues=torch.zeros(2, dtype=torch.float64))
    assert "all eigenvalues are zero" in write_page(Store(tmp_path), tmp_path / "page.html").read_text()


def test_where_chooses_and_nothing_to_show_is_refused(tmp_path):
    write_fake(tmp_path, "ln")
    write_fake(tmp_path, "onoff")
    text = write_page(Store(tmp_path), tmp_path / "page.html", where=["model=ln"]).read_text()
    assert Tags(text).tags.count("article") == 1
    with pytest.raises(StoreError, match="has no result with model=lgg to report"):
        write_page(Store(tmp_path), tmp_path / "page.html", where=["model=lgg"])
    with pytest.raises(ConfigurationError, match=r"figure\.scale=0"):
        write_page(Store(tmp_path), tmp_path / "page.html", scale=0.0)
    assert Tags((tmp_path / "page.html").read_text()).tags.count("article") == 1


def test_a_damaged_result_is_left_out_with_a_warning(tmp_path, caplog):
    good, bad = write_fake(tmp_path, "ln"), write_fake(tmp_path, "onoff")
    (Store(tmp_path).path(bad) / "pairs.safetensors").write_bytes(b"torn")
    text = write_page(Store(tmp_path), tmp_path / "page.html").read_text()
    assert "Left out of the report" in caplog.text
    assert f"r-{good}" in text
    assert f"r-{bad}" not in text


def test_every_figure_has_the_command_that_draws_it(tmp_path, monkeypatch):
    ids = [write_fake(tmp_path / "s t", model) for model in ("ln", "onoff")]
    monkeypatch.chdir(tmp_path)
    tags = Tags(write_page(Store("s t"), tmp_path / "page.html", where=["model=*n*"]).read_text())
    commands = [text for text in tags.texts if text.startswith("eigexp plot")]
    assert len(commands) == 1 + 2 * 4
    assert str(tmp_path) not in (tmp_path / "page.html").read_text()  # nothing of the machine
    assert "eigexp plot compare --where 'model=*n*' --store 's t'" in commands
    for id in ids:
        for words in (f"distortions {id[:8]}", f"spectrum {id[:8]}", f"curves {id[:8]}", f"curves {id[:8]} --quantity eigenvalue"):
            assert f"eigexp plot {words} --store 's t'" in commands
    assert tags.tags.count("figure") - 2 * 2 == 1 + 2 * 3  # beside the pictures, which have one command together


@pytest.mark.slow(3)
def test_the_commands_of_the_page_draw_its_figures(tmp_path, monkeypatch, capsys):
    from eigexp import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    id = write_fake("s t", "ln")
    tags = Tags(write_page(Store("s t"), "page.html").read_text())
    commands = [text for text in tags.texts if text.startswith("eigexp plot")]
    for command in commands:
        assert cli.main(shlex.split(command)[1:]) == 0, command
    drawn = {path.name for path in (tmp_path / "outputs/figures").iterdir()}
    assert drawn == {"compare.pdf", *(f"{kind}-{id[:8]}.pdf" for kind in ("distortions", "spectrum", "curves"))}


def test_a_bottom_that_may_be_zero_is_given_by_its_bound(tmp_path):
    intervals = torch.tensor([[9.9, 10.1], [0.0, 1e-5]], dtype=torch.float64)
    write_fake(tmp_path, eigenvalues=torch.tensor([10.0, 1e-15], dtype=torch.float64), intervals=intervals)
    tags = Tags(write_page(Store(tmp_path), tmp_path / "page.html").read_text())
    words = tags.texts
    assert "≤ 1×10⁻⁵" in words
    assert ("data-key", "1e-05") in tags.values  # what the column sorts by
    assert "≥ 6.9" in words
    assert "at least 6.9" in words


def test_every_pair_is_shown_and_what_is_not_verified_says_so(tmp_path):
    write_fake(tmp_path, k=3, evidence={"top": "krylov", "bottom": "budget"}, verified=False)
    page = write_page(Store(tmp_path), tmp_path / "page.html").read_text()
    tags = Tags(page)
    assert tags.tags.count("canvas") == 6
    words = " ".join(tags.texts)
    for part in ("eigenindex 1", "eigenindex 254", "0", "255"):
        assert part in words
    stripped = [text.strip() for text in tags.texts]
    assert stripped.count("converged, not verified") == 3  # in the table, at the head of the card, among its facts
    assert stripped.count("not verified") == 1 + 3  # in the grid, and below the bottom's pictures
    assert "largest: Krylov evidence; smallest: stopped on budget, not verified" in stripped
    assert "No D is verified." in words


def test_failed_tasks_are_listed(tmp_path):
    write_fake(tmp_path)
    store = Store(tmp_path)
    store.write_json("f" * 16, "job.json", {"ids": ["f" * 16], "names": ["moon"], "model": "lg"})
    store.write_json("f" * 16, "error.json", {"message": "the model's <b> derivative is not finite"})
    words = Tags(write_page(store, tmp_path / "page.html").read_text()).texts
    assert "1 task failed" in words and "lg moon" in words and "the model's <b> derivative is not finite" in words


def test_the_grid_has_models_down_images_across_and_both_ends_in_their_colours(tmp_path):
    for model in ("ln", "onoff"):
        for name in ("camera", "coins"):
            write_fake(tmp_path, model, fake_image(name=name, seed=len(name)))
    page = write_page(Store(tmp_path), tmp_path / "page.html").read_text()
    grid = page[page.index('<table class="grid">') : page.index("</table>")]
    assert re.findall(r'<th scope="row">(.*?)</th>', grid) == ["ln", "onoff"]
    assert re.findall(r"<span>(\w+)</span></th>", grid) == ["camera", "coins"]
    assert re.findall(r'class="shot (\w+)"', grid) == ["top", "bottom"] * 4
    assert re.findall(r'alt="(\w+ noticeable)"', grid) == ["most noticeable", "least noticeable"] * 4
    assert page.index('class="grid"') < page.index('id="comparison"') < page.index('id="table"') < page.index('class="card"')


@pytest.mark.slow(2)
def test_five_hundred_results_would_stay_below_fifteen_megabytes(tmp_path, monkeypatch):
    """A fifth of them, with a fifth of what the page gives to pictures and curves."""
    monkeypatch.setattr(page, "PICTURES", page.PICTURES // 5)
    monkeypatch.setattr(page, "IMAGES", page.IMAGES // 5)
    monkeypatch.setattr(cards, "_POINTS", cards._POINTS // 5)
    image = fake_image((1, 96, 96))
    pairs = fake_pairs((1, 96, 96))
    for model in range(10):
        for at in range(10):
            picture = Image(f"image{at}", image.pixels + at / 1000)
            record = fake_record(pairs, picture, f"model{model}")
            Store(tmp_path / "store").write(record, pairs, picture, fake_curves(pairs, 300))
    assert write_page(Store(tmp_path / "store"), tmp_path / "page.html").stat().st_size < 15e6 / 5


@pytest.mark.slow(1)
def test_twenty_colour_results_stay_below_five_megabytes(tmp_path):
    """The worst case: noise in every picture, so that nothing compresses."""
    rng = np.random.default_rng(0)
    for i in range(20):
        image = Image(f"noise{i}", torch.from_numpy(rng.random((3, 256, 256), dtype=np.float32)))
        pairs = fake_pairs((3, 256, 256), seed=i)
        pairs.eigendistortions[0] = pairs.eigendistortions[1].flip(0)
        record = fake_record(pairs, image)
        Store(tmp_path / "store").write(record, pairs, image, fake_curves(pairs))
    begun = time.process_time()
    path = write_page(Store(tmp_path / "store"), tmp_path / "page.html")
    assert path.stat().st_size < 5e6
    assert time.process_time() - begun < 20
