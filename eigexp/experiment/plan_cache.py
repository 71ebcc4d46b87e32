"""What one list of tasks leaves for the next, so that a sweep builds a network and reads an image once."""

from collections.abc import Mapping
from typing import Any

from eigexp.experiment.image_list import ImageFacts, ImageList, KeptImages, image_source, read_node
from eigexp.experiment.metric import networks_against
from eigexp.experiment.networks import Network, build_network
from eigexp.images import ImageSource
from eigexp.store.record import canonical_json


class PlanCache:
    """Keeps the last network that was built, the sources of images, and the facts of all images that were read."""

    def __init__(self) -> None:
        self._node = ""
        self._network: Network | None = None
        self._sources: dict[str, ImageSource] = {}
        self._others_node = ""
        self._others: tuple[Network, ...] = ()
        self._facts: dict[str, tuple[ImageFacts, ...]] = {}

    def network(self, node: Mapping[str, Any]) -> Network:
        """Return the network of a `model` node. Another one than before is freed first, so that two are never in memory."""
        key = canonical_json(node)
        if self._network is None or key != self._node:
            self._network = None
            self._network, self._node = build_network(node), key
        return self._network

    def others(self, config: Mapping[str, Any]) -> tuple[Network, ...]:
        """Return the networks of `against`, the last ones if they are the same; none where there are none."""
        key = canonical_json([config.get("against"), config.get("floor"), config.get("norm")])
        if key != self._others_node:
            self._others, self._others_node = networks_against(config), key
        return self._others

    def images(self, node: Mapping[str, Any]) -> tuple[ImageList, int]:
        """Return the images of an `images` node, and their `batch_size`. A folder is listed once for all its subsets."""
        settings, subset, batch_size = read_node(node)
        key = canonical_json(settings)
        if key not in self._sources:
            self._sources[key] = KeptImages(image_source(settings))
        source = self._sources[key] if subset is None else self._sources[key].subset(subset)
        key += canonical_json(subset)
        images = ImageList(source, self._facts.get(key))
        self._facts[key] = images.facts
        return images, batch_size
