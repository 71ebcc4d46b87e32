# %% [markdown]
# # Eigendistortions, coming from plenoptic
#
# The steps of plenoptic's tutorial, with `eigexp.Eigendistortion`: a linear model whose answer is known, a model of early vision,
# and layers of a deep network. Figures go to `outputs/examples`, or to the folder that EIGEXP_EXAMPLES names.
#
# Needs `pip install 'eigexp[models]'`; takes about a minute on one core. As a notebook: `jupytext --to notebook from_plenoptic.py`.

# %%
import os
from pathlib import Path

import torch
from torch import nn

import eigexp
import eigexp.io
from eigexp.images.sources import SkimageImages
from eigexp.models import OnOff
from eigexp.models.zoo import efficientnet_lite0

FOLDER = Path(os.environ.get("EIGEXP_EXAMPLES", "outputs/examples"))
FOLDER.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## A linear model
#
# Responses are y = M x, so that the Jacobian is M and the Fisher information M^T M: everything can be checked. The rows of M are smooth
# bumps along the 25 pixels of a 5 x 5 image, and one response is the mean, a hundred times weaker.


# %%
class Linear(nn.Module):
    """y = M x of the flattened image."""

    def __init__(self, matrix: torch.Tensor):
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, 1, 5, 5) -> (b, m)."""
        return x.flatten(1) @ self.matrix.T


pixels = torch.arange(25, dtype=torch.float64)
bumps = torch.exp(-0.5 * ((pixels[:, None] - pixels[None]) / 1.2) ** 2)
model = Linear(torch.cat([bumps, torch.full((1, 25), 0.01, dtype=torch.float64)])).eval()
image = torch.full((1, 1, 5, 5), 0.5, dtype=torch.float64)

linear = eigexp.Eigendistortion(image, model)
linear.synthesize("exact")
exact = linear.eigenvalues
print(linear.eigendistortions.shape, linear.eigenindex[[0, -1]])

# %% [markdown]
# The default method needs no Jacobian and reports error bounds: every eigenvalue has an interval, and `verified` is true if the evidence
# for both ends is `proven` or `krylov`.

# %%
linear.synthesize(k=3)
for index, value, (low, high) in zip(linear.eigenindex, linear.eigenvalues, linear.intervals, strict=True):
    print(f"eigenindex {index:2d}: {value:.6f} in [{low:.6f}, {high:.6f}], exact {exact[index]:.6f}")
print(linear.status, "verified" if linear.verified else "not verified")
linear.plot([0, 1, -2, -1]).savefig(FOLDER / "linear.png")

# %% [markdown]
# Power iteration, plenoptic's default, is `method="power"`. It stops when its eigenvalue no longer changes. Where the smallest eigenvalues
# are close together, its vector is then not yet the least noticeable distortion. Residuals, which are computed with fresh products for
# every method, show this.

# %%
linear.synthesize("power", k=1, max_iter=100)
print("power :", linear.status, "bottom", float(linear.eigenvalues[-1]), "exact", float(exact[-1]))
linear.synthesize("krylov", k=1, tol=1e-6)
print("krylov:", linear.status, "bottom", float(linear.eigenvalues[-1]), "exact", float(exact[-1]))

# %% [markdown]
# ## OnOff: a model of early vision
#
# Two channels, centre on and centre off, with gain control of luminance and contrast. `prepare_model` puts a model into evaluation mode
# and freezes its parameters (plenoptic: `model.eval()` and `remove_grad(model)`).

# %%
photograph = SkimageImages(names=["camera"], size=96, grey=True)[0]
onoff = eigexp.Eigendistortion(photograph.pixels[None], eigexp.prepare_model(OnOff()))
onoff.synthesize()
top, bottom = onoff.eigenvalues
print(f"predicted thresholds: {top**-0.5:.3g} and {bottom**-0.5:.3g}; {onoff.fisher_vector_products:.0f} products")
onoff.plot().savefig(FOLDER / "onoff.png")

# %% [markdown]
# Objects are saved without pickle, and are loaded into an object made from the same image and model. Files that plenoptic saved are
# loaded in the same way.

# %%
onoff.save(FOLDER / "onoff.safetensors")
print(eigexp.io.examine(FOLDER / "onoff.safetensors"))
copy = eigexp.Eigendistortion(photograph.pixels[None], eigexp.prepare_model(OnOff()))
copy.load(FOLDER / "onoff.safetensors")
assert torch.equal(copy.eigendistortions, onoff.eigendistortions)

# %% [markdown]
# ## Layers of a deep network
#
# EfficientNet-Lite0 with its ImageNet weights, which are part of a package. The network normalises images itself, so images are in [0, 1].
# A later layer has fewer responses than the image has values, and then at least n - m eigenvalues are zero. Its least noticeable distortion
# is then one of many; the figure reports this as "null space".

# %%
cat = SkimageImages(names=["chelsea"], size=64, grey=False)[0].pixels[None]
for layer in ("_blocks.0", "_blocks.2", "_blocks.5"):
    network = eigexp.prepare_model(efficientnet_lite0("imagenet"), layer=layer)
    deep = eigexp.Eigendistortion(cat, network)
    deep.synthesize(tol=1e-3, max_iter=200)
    print(f"{layer}: {deep.status}, eigenvalues {deep.eigenvalues.tolist()}, at least {deep.pairs.null_space.dimension_at_least} are zero")
    deep.plot().savefig(FOLDER / f"efficientnet{layer}.png")

# %% [markdown]
# ## Several images at once
#
# A batch is solved in one fit; attributes get a leading axis over images. For many images, models and layers: `eigexp sweep`.

# %%
grey = torch.stack([SkimageImages(names=[name], size=48, grey=True)[0].pixels for name in ("camera", "coins")])
batch = eigexp.Eigendistortion(grey, eigexp.prepare_model(OnOff()))
batch.synthesize()
print(batch.eigendistortions.shape, batch.status)
batch.plot(image=1).savefig(FOLDER / "batch.png")
