"""What a notebook shows: pictures, intervals, and what is not verified; no tensors."""

import re

import pytest
import torch

from eigexp.results import select
from eigexp.synthesis.notebook import object_html, summary
from tests.store.fakes import fake_image, fake_pairs, write_fake

BOUNDED = torch.tensor([[9.99, 10.01], [0.0, 3e-6]], dtype=torch.float64)


def test_an_object_shows_image_distortions_and_a_table_with_bounds():
    image = fake_image(name="<b>")
    pairs = fake_pairs(intervals=BOUNDED, evidence={"top": "krylov", "bottom": "budget"}, verified=False, method="<script>")
    html = object_html(image.pixels.numpy(), pairs)
    assert re.findall(r'alt="([^"]*)"', html) == ["image", "most noticeable", "least noticeable, not verified"]
    assert re.findall(r"border:2px solid (#\w+)", html) == ["#888888", "#D55E00", "#0072B2"]
    assert "\u03bb \u2264 3\u00d710\u207b\u2076, not verified" in html and "10 [9.99, 10.01]" in html
    assert "<script>" not in html and "not verified, D \u2265 7.5" in html
    assert "tensor" not in html


def test_a_signal_has_its_table_alone():
    html = object_html(fake_image((30,)).pixels.numpy(), fake_pairs((30,)))
    assert "<img" not in html and "<td>29</td>" in html


def test_the_summary_says_each_pair_with_its_interval():
    text = summary([fake_pairs(k=2, intervals=torch.cat([BOUNDED[:1], BOUNDED, BOUNDED[1:]]))])
    assert text.splitlines()[0].startswith("converged, verified, D \u2265 7.5")
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == [
        "most noticeable", "eigenindex 1", "eigenindex 254", "least noticeable"
    ]  # fmt: skip


def test_pairs_are_words_and_numbers_and_no_arrays():
    pairs = fake_pairs(intervals=BOUNDED)
    text = repr(pairs)
    assert "tensor" not in text and "0: 10 [9.99, 10.01]" in text and "255: <= 3e-06" in text and "verified" in text
    html = pairs._repr_html_()
    assert "&lt;= 3e-06" in html and "<td>255</td>" in html and "tensor" not in html


def test_a_selection_is_a_table_with_the_settings_that_differ(tmp_path):
    for model in ("ln", "<b>onoff"):
        write_fake(tmp_path, model, intervals=BOUNDED)
    html = select(tmp_path)._repr_html_()
    assert "&lt;b&gt;onoff" in html and "<b>" not in html and "2 results" in html and html.count("&lt;= 3e-06") == 2
    assert len(select(tmp_path, "model=ln").rows) == 1
    assert select(tmp_path).pairs()[0]["eigenindex"] == 0


@pytest.mark.parametrize("synthesized", [False, True])
def test_the_class_shows_itself(synthesized):
    from eigexp import Eigendistortion

    image = fake_image((1, 6, 6)).pixels[None]
    eig = Eigendistortion(image, torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)).requires_grad_(False).eval())
    if synthesized:
        eig.synthesize("exact", progress=False)
        assert "most noticeable" in eig.summary() and "verified" in repr(eig) and eig._repr_html_().count("<img") == 37
    else:
        assert "call synthesize()" in eig.summary() and eig._repr_html_().startswith("<pre>")
