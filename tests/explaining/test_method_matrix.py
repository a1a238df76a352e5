"""Every method on every demo detector and every kind of layer: a map that shows something, or the cause why not."""

from __future__ import annotations

import numpy as np
import pytest
from support.places import ROOT

from ppdet_cam import Explainer
from ppdet_cam.methods import Needs, methods
from ppdet_cam.structures import MapStatus

pytestmark = pytest.mark.slow

MODELS = sorted(path.stem for path in (ROOT / "demo/weights").glob("*.pdparams"))
LAYERS = ("model.backbone", "model.neck", "model.bbox_head.roi_extractor")
SCENES = [ROOT / f"demo/drawn/scene_{number}.jpg" for number in (2, 4, 5)]
THRESHOLD = 0.3
METHODS = [name for name in methods.names() if not methods.get(name).needs.is_of_attention]  # no demo detector has any
# masks or channels; for occlusion, windows along the longer side
SAMPLES = {Needs.OCCLUSIONS: 4}
OTHER_SAMPLES = 16

# Averaged over space, the gradients of most of this BlazeFace's channels are negative, on both of its levels.
MAY_STAY_BLANK = {("blazeface", "gradcam")}


@pytest.fixture(scope="module")
def explainers():
    """Gives each demo detector as a user loads it, loaded once."""
    loaded = {}

    def get(model):
        if model not in loaded:
            loaded[model] = Explainer.from_config(ROOT / f"configs/demo/{model}.yml", draw_threshold=THRESHOLD)
        return loaded[model]

    return get


def has_layer(explainer, layer):
    """Whether a detector's model has a layer."""
    return layer in {f"model.{name}" for name, _ in explainer.detector.model.named_sublayers()}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", MODELS)
def test_method_shows_something_or_says_why_not(explainers, model, method, layer):
    """On each scene the best box's map is finite, of the image's size, and empty only with a stated cause."""
    detector = explainers(model).detector
    needs = methods.get(method).needs
    black_box, samples = needs.is_of_images, SAMPLES.get(needs, OTHER_SAMPLES)
    if not has_layer(explainers(model), layer) or (black_box and layer != LAYERS[0]):
        pytest.skip("the detector has no such layer, or the method looks at none")
    explainer = Explainer(
        detector, layers=layer, method=method, draw_threshold=THRESHOLD, top_k=1, samples=samples, batch=8
    )
    found = []
    for scene in SCENES:
        result = explainer(scene)
        assert len(result) == 1, "each scene has a box above the threshold"
        explanation = result[0]
        heatmap, shares = explanation.heatmap, [level.share for level in explanation.levels]
        assert heatmap.shape == result.frame.original_hw and heatmap.dtype == np.float32
        assert np.isfinite(heatmap).all() and heatmap.min() >= 0
        shows = explanation.status is MapStatus.OK
        assert heatmap.any() == shows, explanation.status
        assert sum(shares) == pytest.approx(1.0 if shows and not black_box else 0.0)
        assert explanation.status is not MapStatus.NOT_FINITE
        assert explanation.method == method
        assert (explanation.box_xyxy_roi is not None) == (layer == LAYERS[2])
        found.append(explanation.status)
    assert MapStatus.OK in found or (model, method) in MAY_STAY_BLANK, found
