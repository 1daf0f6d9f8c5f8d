from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flightsw.model.dtacsnet import ContaminationHead, DtacsNet

PUBLISHED_NAMES = {
    "encoder.features.0.0.weight": (32, 4, 3, 3),
    "encoder.features.0.1.running_mean": (32,),
    "encoder.features.1.conv.0.0.weight": (32, 1, 3, 3),
    "encoder.features.1.conv.1.weight": (16, 32, 1, 1),
    "encoder.features.2.conv.2.weight": (24, 96, 1, 1),
    "encoder.features.17.conv.3.bias": (320,),
    "encoder.features.18.0.weight": (1280, 320, 1, 1),
    "decoder.blocks.0.conv1.0.weight": (256, 1376, 3, 3),
    "decoder.blocks.4.conv2.1.num_batches_tracked": (),
    "segmentation_head.0.weight": (4, 16, 3, 3),
    "segmentation_head.0.bias": (4,),
}


def test_the_network_has_as_many_parameters_as_the_published_one() -> None:
    assert sum(value.numel() for value in DtacsNet().parameters()) == 6_629_668


def test_published_weights_load_by_name() -> None:
    found = {name: tuple(value.shape) for name, value in DtacsNet().state_dict().items()}
    assert {name: found[name] for name in PUBLISHED_NAMES} == PUBLISHED_NAMES
    assert {name.split(".")[0] for name in found} == {"encoder", "decoder", "segmentation_head"}


def test_the_answer_has_the_input_s_size() -> None:
    with torch.no_grad():
        assert DtacsNet().eval()(torch.zeros(1, 4, 32, 64)).shape == (1, 4, 32, 64)


@given(
    arrays.arrays(np.float32, (1, 4, 3, 5), elements=st.floats(-20, 20, width=32, allow_nan=False))
)
def test_the_contaminated_mask_equals_the_collapsed_argmax(logits: np.ndarray) -> None:
    four = torch.from_numpy(logits)
    two = ContaminationHead(torch.nn.Identity())(four)
    assert torch.equal(two[:, 1] > two[:, 0], four.argmax(dim=1) > 0)
