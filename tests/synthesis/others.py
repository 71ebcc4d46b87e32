"""Objects that a saved one does not belong to, and what the load says of each."""

from torch import nn

from eigexp import Eigendistortion
from tests.synthesis.toys import LinearMap, linear_object, picture, random_matrix

TALL = random_matrix("tall", 0)


class Renamed(LinearMap):
    pass


class AddsBias(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = LinearMap(TALL)

    def forward(self, x):
        return self.linear(x) + 1e-6


AddsBias.__name__ = "LinearMap"  # the same name, other behaviour


def other_image():
    return linear_object(TALL, picture(seed=1))


def other_image_shape():
    return linear_object(TALL, picture(1, 4, 3, 3))


def other_behaviour():
    return Eigendistortion(picture(), AddsBias().eval())


def other_output_shape():
    return linear_object(TALL[:20])


def other_name():
    return Eigendistortion(picture(), Renamed(TALL).eval())


CHECKS = {
    "image": (other_image, "saved image has other values"),
    "image shape": (other_image_shape, r"saved image has the shape \(1, 1, 6, 6\)"),
    "behaviour": (other_behaviour, "saved model output has other values"),
    "output shape": (other_output_shape, "saved model output has the shape"),
    "name": (other_name, "saved model is called LinearMap, but that of this object Renamed"),
}
