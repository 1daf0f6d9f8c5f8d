"""The simulator, call by call, against the vendor's documentation of ``axelera.runtime``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsw.config import TwinSettings
from flightsw.dimc.simulator import frames
from flightsw.dimc.simulator import runtime as simulator
from flightsw.dimc.simulator.runtime import (
    BoardType,
    Context,
    DeviceInfo,
    DeviceInUse,
    IncompatibleDevice,
    InternalError,
    InvalidArgument,
    InvalidConfiguration,
    Model,
    ModelInstance,
    NotImplemented,  # noqa: A004  (the vendor's name)
    Pending,
)
from tests.unit.flightsw.dimc.compiled_package import (
    INPUT_ZERO_POINT,
    OUTPUT_ZERO_POINT,
    SCALE,
    TinyNetwork,
    random_tiles,
    write_compiled_model,
)

PADDING = st.tuples(*[st.integers(0, 1)] * 2, *[st.integers(0, 5)] * 4, *[st.integers(0, 12)] * 2)


@pytest.fixture
def context() -> Iterator[Context]:
    with Context(threads=1) as opened:
        yield opened


@pytest.fixture
def model(context: Context, tmp_path: Path) -> Model:
    return context.load_model(write_compiled_model(tmp_path))


def outputs_of(model: Model, fill: int = 99) -> np.ndarray[Any, np.dtype[np.int8]]:
    return np.full(model.outputs()[0].shape, fill, np.int8)


def load(context: Context, model: Model, **properties: int) -> ModelInstance:
    return context.device_connect(None, 1).load_model_instance(model, **properties)


def test_the_devices_are_one_card_of_four_sub_devices(context: Context) -> None:
    (device,) = context.list_devices()
    assert (device.name, device.subdevice_count) == ("metis-0:3:0", 4)
    assert device.board_type is BoardType.m2
    assert [board.value for board in BoardType] == list(range(7))


def test_configuration_is_set_and_read_back_as_text(context: Context) -> None:
    (device,) = context.list_devices()
    assert context.read_device_configuration(device)["clock_profile"] == "800"
    assert context.configure_device(device, clock_profile=400, mvm_utilisation_core_2=50) is True
    configuration = context.read_device_configuration(device)
    assert configuration["clock_profile_core_3"] == "400"
    assert configuration["mvm_utilisation_core_2"] == "50"
    assert context.device_ready(device) is True


@pytest.mark.parametrize("properties", [{"voltage": 1}, {"clock_profile": 0}])
def test_unknown_or_senseless_configuration_is_refused(
    context: Context, properties: dict[str, int]
) -> None:
    with pytest.raises(InvalidArgument):
        context.configure_device(context.list_devices()[0], **properties)


def test_model_describes_its_tensors_as_the_manifest_does(model: Model) -> None:
    (tiles,), (logits,) = model.inputs(), model.outputs()
    assert (tiles.shape, tiles.scale, tiles.zero_point) == ((1, 8, 8, 4), SCALE, INPUT_ZERO_POINT)
    assert tiles.name == "tiles"
    assert (logits.shape, logits.padding) == ((1, 8, 8, 64), [(0, 0), (0, 0), (0, 0), (0, 62)])
    assert logits.zero_point == OUTPUT_ZERO_POINT
    assert model.properties == {"input_tensor_layout": "NHWC"}


def test_changing_a_description_does_not_change_the_model(model: Model) -> None:
    model.inputs()[0].zero_point = 5
    assert model.inputs()[0].zero_point == INPUT_ZERO_POINT


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 2), st.integers(1, 3), PADDING, PADDING)
def test_answer_is_the_network_s_inside_any_padding(
    tmp_path_factory: pytest.TempPathFactory,
    batch: int,
    classes: int,
    input_padding: tuple[int, ...],
    output_padding: tuple[int, ...],
) -> None:
    network = TinyNetwork(classes)
    path = write_compiled_model(
        tmp_path_factory.mktemp("package"),
        batch=batch,
        input_padding=input_padding,
        output_padding=output_padding,
        network=network,
    )
    tiles = random_tiles(batch)
    with Context(threads=1) as context:
        model = context.load_model(path)
        connection = context.device_connect(None, 4)
        (inside,), (outside,) = model.inputs(), model.outputs()
        padded = np.pad(tiles, inside.padding, constant_values=inside.zero_point)
        logits = np.full(outside.shape, 99, np.int8)
        connection.load_model_instance(model).run([padded], [logits])
    expected = np.pad(network.answer(tiles), outside.padding, constant_values=OUTPUT_ZERO_POINT)
    np.testing.assert_array_equal(logits, expected)


def test_same_input_gives_the_same_answer_on_every_instance(context: Context, model: Model) -> None:
    answers = []
    for _ in range(2):
        instance = load(context, model)
        for _ in range(3):
            logits = outputs_of(model)
            instance.run([random_tiles(1)], [logits])
            answers.append(logits)
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_padding_is_filled_in_every_array_that_is_passed(context: Context, model: Model) -> None:
    instance = load(context, model)
    first, second = outputs_of(model), outputs_of(model)
    for logits in (first, second, first):
        instance.run([random_tiles(1)], [logits])
    for logits in (first, second):
        assert (logits[..., 2:] == OUTPUT_ZERO_POINT).all()


@pytest.mark.parametrize(
    "twin",
    [None, TwinSettings(latency_ms=0.1, sigma_ms=0), TwinSettings(0.1, 0, compute=True, seed=2)],
)
def test_double_buffer_delays_the_answers_by_two_calls(
    tmp_path: Path, twin: TwinSettings | None
) -> None:
    with Context(twin, threads=1) as context:
        model = context.load_model(write_compiled_model(tmp_path))
        instance = load(context, model, double_buffer=1)
        frames = [random_tiles(1, seed) for seed in range(6)]
        answers = []
        for tiles in [*frames, frames[0], frames[0]]:
            logits = outputs_of(model)
            instance.run([tiles.copy()], [logits])
            answers.append(logits)
    untouched, delayed = answers[:2], answers[2:]
    assert all((logits == 99).all() for logits in untouched)
    for tiles, logits in zip(frames, delayed, strict=True):
        np.testing.assert_array_equal(logits[..., :2], TinyNetwork().answer(tiles))


def test_input_may_be_overwritten_once_a_double_buffered_call_returned(
    context: Context, model: Model
) -> None:
    instance = load(context, model, double_buffer=1)
    tiles, logits = random_tiles(1), outputs_of(model)
    expected = TinyNetwork().answer(tiles)
    for _ in range(3):
        instance.run([tiles], [logits])
        tiles[:] = 0
    np.testing.assert_array_equal(logits[..., :2], expected)


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("inputs", "outputs", "complaint"),
    [
        (lambda x: [], lambda y: [y], "inputs: expected 1 arrays, found 0"),
        (lambda x: [x], lambda y: [y, y], "outputs: expected 1 arrays, found 2"),
        (lambda x: [x.view(np.uint8)], lambda y: [y], "expected int8, found uint8"),
        (lambda x: [x[0]], lambda y: [y], r"expected shape \(1, 8, 8, 4\)"),
        (lambda x: [x.transpose(0, 2, 1, 3)], lambda y: [y], "not C-contiguous"),
        (lambda x: [x.tolist()], lambda y: [y], "expected an array, found list"),
        (lambda x: [x], lambda y: [y[..., :2]], "expected shape"),
        (lambda x: [x], lambda y: [_read_only(y)], "cannot be written"),
    ],
)
def test_unfit_array_is_refused_before_anything_runs(
    context: Context,
    model: Model,
    inputs: Callable[[Any], list[Any]],
    outputs: Callable[[Any], list[Any]],
    complaint: str,
) -> None:
    logits = outputs_of(model)
    with pytest.raises(InvalidArgument, match=complaint):
        load(context, model).run(inputs(random_tiles(1)), outputs(logits))
    assert (logits == 99).all()


@pytest.mark.parametrize("count", [0, 5, -1, "one"])
def test_number_of_sub_devices_is_range_checked(context: Context, count: Any) -> None:
    with pytest.raises(InvalidArgument):
        context.device_connect(None, count)


def test_sub_devices_run_out_and_come_back(context: Context) -> None:
    first = context.device_connect(context.list_devices()[0], 3)
    with pytest.raises(DeviceInUse, match="2 sub-devices asked for, 1 free"):
        context.device_connect(None, 2)
    first.release()
    context.device_connect(None, 4)


def test_cores_run_out_and_come_back(context: Context, model: Model) -> None:
    first = load(context, model, aipu_cores=4, num_sub_devices=1)
    with pytest.raises(DeviceInUse, match="1 cores asked for, 0 free"):
        load(context, model)
    first.release()
    load(context, model, aipu_cores=4)


def test_second_instance_needs_sub_devices_of_its_own(context: Context, model: Model) -> None:
    connection = context.device_connect(None, 1)
    connection.load_model_instance(model)
    with pytest.raises(DeviceInUse):
        connection.load_model_instance(model)


def test_refused_instance_holds_nothing(context: Context, model: Model) -> None:
    load(context, model, aipu_cores=4)
    connection = context.device_connect(None, 1)
    for _ in range(2):
        with pytest.raises(DeviceInUse, match="1 cores asked for"):
            connection.load_model_instance(model)


def test_device_that_is_not_there_cannot_be_connected(context: Context) -> None:
    with pytest.raises(simulator.ConnectionError, match="metis-9"):
        context.device_connect(DeviceInfo("metis-9:9:9", 4))
    with pytest.raises(InvalidArgument):
        context.device_connect("metis-0:3:0")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="speed"):
        context.device_connect(None, 1, speed=3)


@pytest.mark.parametrize(
    ("properties", "error"),
    [
        ({"cores": 4}, InvalidArgument),
        ({"aipu_cores": 5}, InvalidArgument),
        ({"num_sub_devices": 2}, InvalidArgument),
        ({"double_buffer": 2}, InvalidArgument),
        ({"input_dmabuf": 1}, NotImplemented),
        ({"output_dmabuf": 1}, NotImplemented),
    ],
)
def test_unknown_or_unfit_property_of_an_instance_is_refused(
    context: Context, model: Model, properties: dict[str, int], error: type[Exception]
) -> None:
    with pytest.raises(error):
        load(context, model, **properties)


def test_documented_properties_are_accepted_with_their_defaults(
    context: Context, model: Model
) -> None:
    defaults = {"aipu_cores": 0, "num_sub_devices": 0, "input_dmabuf": 0, "output_dmabuf": 0}
    flags = {"double_buffer": 0, "device_profiling": 0, "host_profiling": 0, "elf_in_ddr": 1}
    load(context, model, **defaults, **flags)


def test_batch_that_needs_more_cores_than_the_card_has_is_incompatible(
    context: Context, tmp_path: Path
) -> None:
    model = context.load_model(write_compiled_model(tmp_path, batch=5))
    with pytest.raises(IncompatibleDevice):
        load(context, model)


def test_model_of_another_context_is_refused(context: Context, tmp_path: Path) -> None:
    with Context() as other:
        foreign = other.load_model(write_compiled_model(tmp_path))
        with pytest.raises(InvalidArgument, match="same context"):
            load(context, foreign)


def test_file_that_is_not_there_is_an_invalid_argument(context: Context, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is not a file"):
        context.load_model(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"input_tensor_layout": "NCHW"}, "input_tensor_layout"),
        ({"input_shapes": [[1, 9, 8, 4]]}, "input_shapes"),
        ({"n_padded_ch_inputs": [[0, 0, 0, 0, 0, 0, 0, 1]]}, "input_shapes"),
        ({"n_padded_ch_outputs": [[0, 0, 0, 0, 0, 0, 0, 61]]}, "output_shapes"),
    ],
)
def test_manifest_that_contradicts_itself_or_the_graph_is_an_invalid_configuration(
    context: Context, tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=key):
        context.load_model(write_compiled_model(tmp_path, **changes))


def test_graph_of_a_fixed_batch_runs_at_that_batch_only(context: Context, tmp_path: Path) -> None:
    path = write_compiled_model(tmp_path, batch=2)
    TinyNetwork().write(tmp_path / "tiny.onnx", batch=2)
    assert context.load_model(path).inputs()[0].shape[0] == 2
    TinyNetwork().write(tmp_path / "tiny.onnx", batch=3)
    with pytest.raises(InvalidConfiguration, match="input_shapes"):
        context.load_model(path)


def test_graph_that_is_not_onnx_is_an_invalid_configuration(
    context: Context, tmp_path: Path
) -> None:
    path = write_compiled_model(tmp_path)
    (tmp_path / "tiny.onnx").write_bytes(b"not a graph")
    with pytest.raises(InvalidConfiguration, match=r"cannot be read as an ONNX graph \(.+\)"):
        context.load_model(path)


def test_releasing_a_context_releases_everything_made_from_it(
    context: Context, model: Model
) -> None:
    connection = context.device_connect(None, 1)
    instance = connection.load_model_instance(model, double_buffer=1)
    instance.run([random_tiles(1)], [outputs_of(model)])
    logits = outputs_of(model)
    context.release()
    context.release()
    for use in (
        context.list_devices,
        model.inputs,
        lambda: connection.load_model_instance(model),
        lambda: instance.run([random_tiles(1)], [logits]),
    ):
        with pytest.raises(InvalidArgument, match="was released"):
            use()
    assert instance.context is connection.context is model.context is context


def test_releasing_a_connection_leaves_the_model_usable(context: Context, model: Model) -> None:
    with context.device_connect(None, 1) as connection:
        instance = connection.load_model_instance(model)
    with pytest.raises(InvalidArgument, match="was released"):
        instance.run([random_tiles(1)], [outputs_of(model)])
    logits = outputs_of(model)
    load(context, model).run([random_tiles(1)], [logits])
    np.testing.assert_array_equal(logits[..., :2], TinyNetwork().answer(random_tiles(1)))


class StoppableFrames:
    """Frames that wait for the test, or fail, in place of the arithmetic."""

    def __init__(self, error: Exception | None = None) -> None:
        self.full = True
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self._error = error

    def submit(self, tiles: Any, submitted_ns: int) -> None:
        self.entered.set()

    def take(self, logits: Any, seconds: float) -> None:
        if self._error is not None:
            raise self._error
        assert self.go_on.wait(20)

    def abandon(self, seconds: float) -> None:
        pass


def test_second_call_while_one_is_under_way_is_pending(
    context: Context, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, frames = load(context, model), StoppableFrames()
    monkeypatch.setattr(instance, "_frames", frames)
    arguments = [random_tiles(1)], [outputs_of(model)]
    first = threading.Thread(target=instance.run, args=arguments)
    first.start()
    assert frames.entered.wait(20)
    with pytest.raises(Pending):
        instance.run(*arguments)
    frames.go_on.set()
    first.join(20)
    instance.run(*arguments)


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        (RuntimeError("out of memory"), InternalError),
        (TimeoutError("no answer within 30 s"), simulator.ConnectionError),
    ],
)
def test_failing_arithmetic_surfaces_in_the_call_that_waits_for_it(
    context: Context,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    cause: Exception,
    error: type[Exception],
) -> None:
    instance = load(context, model)
    monkeypatch.setattr(instance, "_frames", StoppableFrames(cause))
    with pytest.raises(error, match=str(cause)):
        instance.run([random_tiles(1)], [outputs_of(model)])


def test_twin_without_computing_answers_every_eighth_row_by_its_brightness(tmp_path: Path) -> None:
    with Context(TwinSettings(latency_ms=0.01, sigma_ms=0, compute=False)) as context:
        model = context.load_model(write_compiled_model(tmp_path))
        tiles = np.full((1, 8, 8, 4), round(0.2 / SCALE) + INPUT_ZERO_POINT, np.int8)
        tiles[0, 0, 3:, 0] = round(0.3 / SCALE) + INPUT_ZERO_POINT
        logits = outputs_of(model)
        load(context, model).run([tiles], [logits])
    assert logits[0, 0, :, 1].tolist() == [-40] * 3 + [40] * 5
    assert logits[0, 0, :, 0].tolist() == [40] * 3 + [-40] * 5
    assert (logits[0, 1:] == OUTPUT_ZERO_POINT).all()


def test_the_answer_is_written_before_the_twin_s_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Context(TwinSettings(latency_ms=0.01, sigma_ms=0, compute=False)) as context:
        model = context.load_model(write_compiled_model(tmp_path))
        logits, then = outputs_of(model), []
        monkeypatch.setattr(frames, "_sleep_until", lambda *_: then.append(logits[0, 0].copy()))
        load(context, model).run([random_tiles(1)], [logits])
    assert np.array_equal(then[0], logits[0, 0])
    assert (then[0][:, :2] != OUTPUT_ZERO_POINT).all()


def test_instances_side_by_side_draw_different_latencies(tmp_path: Path) -> None:
    with Context(TwinSettings(latency_ms=0.01, sigma_ms=0.003, compute=False)) as context:
        model = context.load_model(write_compiled_model(tmp_path))
        instances = [load(context, model, aipu_cores=1) for _ in range(4)]
        for instance in instances:
            instance.run([random_tiles(1)], [outputs_of(model)])
        assert len({instance.history.busy_ns for instance in instances}) == 4


def test_instance_on_one_core_takes_four_times_as_long_as_on_four(tmp_path: Path) -> None:
    with Context(TwinSettings(latency_ms=0.1, sigma_ms=0, compute=False)) as context:
        model = context.load_model(write_compiled_model(tmp_path))
        instances = [load(context, model, aipu_cores=1) for _ in range(4)]
        for instance in instances:
            instance.run([random_tiles(1)], [outputs_of(model)])
        assert [instance.history.busy_ns for instance in instances] == [400_000] * 4
        with pytest.raises(DeviceInUse):
            context.device_connect(None, 1)


def test_history_counts_the_twin_s_frames_and_not_the_pauses(tmp_path: Path) -> None:
    twin = TwinSettings(latency_ms=2, sigma_ms=0, compute=False)
    with Context(twin) as context:
        model = context.load_model(write_compiled_model(tmp_path))
        instance = load(context, model, aipu_cores=4)
        for _ in range(5):
            instance.run([random_tiles(1)], [outputs_of(model)])
        assert instance.history.busy_ns == 5 * 2_000_000
        start_ns, end_ns = instance.history.span or (0, 0)
        assert end_ns - start_ns > instance.history.busy_ns
