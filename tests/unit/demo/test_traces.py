"""Spans arrive over OTLP, and form the tree that their parents say."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from extauthz.demo.processes import LOOPBACK, ProgramError, free_port
from extauthz.demo.traces import Span, TraceReceiver, tree

EXPORT = "/opentelemetry.proto.collector.{}/Export"


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    with TraceReceiver() as running:
        yield running


def send(receiver: TraceReceiver, *spans: dict[str, Any], service: str = "envoy") -> None:
    message = ExportTraceServiceRequest()
    batch = message.resource_spans.add()
    batch.resource.attributes.add(key="service.name").value.string_value = service
    for each in spans:
        span = batch.scope_spans.add().spans.add(
            trace_id=bytes.fromhex(each["trace"]), span_id=bytes.fromhex(each["id"]), name=each["name"]
        )
        span.start_time_unix_nano, span.end_time_unix_nano = 1_000_000, 3_500_000
        span.attributes.add(key="text").value.string_value = "x"
        span.attributes.add(key="number").value.int_value = 7
        span.attributes.add(key="truth").value.bool_value = True
        span.attributes.add(key="many").value.array_value.values.add().string_value = "y"
    call(receiver, EXPORT.format("trace.v1.TraceService"), message.SerializeToString())


def call(receiver: TraceReceiver, method: str, body: bytes) -> bytes:
    with grpc.insecure_channel(f"{LOOPBACK}:{receiver.port}") as channel:
        answer: bytes = channel.unary_unary(method)(body, timeout=10)
        return answer


def span(identity: str, parent: str, start_ns: int) -> Span:
    return Span(
        trace_id="t",
        span_id=identity,
        parent_id=parent,
        service="s",
        name=identity,
        start_ns=start_ns,
        end_ns=start_ns,
        attributes={},
    )


def test_a_span_arrives_with_its_service_attributes_and_duration(receiver: TraceReceiver) -> None:
    send(receiver, {"trace": "ab" * 16, "id": "cd" * 8, "name": "ingress"})
    (found,) = receiver.wait_for(lambda spans: len(spans) == 1, trace_id="ab" * 16)
    assert (found.service, found.name, found.span_id, found.duration_ms) == ("envoy", "ingress", "cd" * 8, 2.5)
    assert found.attributes == {"text": "x", "number": "7", "truth": "true", "many": "y"}


def test_only_the_trace_asked_for_is_shown(receiver: TraceReceiver) -> None:
    send(receiver, {"trace": "01" * 16, "id": "01" * 8, "name": "a"}, {"trace": "02" * 16, "id": "02" * 8, "name": "b"})
    assert [found.name for found in receiver.spans("02" * 16)] == ["b"]
    assert len(receiver.spans()) == 2


def test_waiting_ends_with_what_there_is(receiver: TraceReceiver) -> None:
    assert receiver.wait_for(lambda _: False, timeout_s=0.05) == ()


@pytest.mark.parametrize("service", ["metrics.v1.MetricsService", "logs.v1.LogsService"])
def test_metrics_and_logs_are_taken_and_dropped(receiver: TraceReceiver, service: str) -> None:
    assert call(receiver, EXPORT.format(service), b"anything") == b""


def test_a_port_in_use_is_an_error(receiver: TraceReceiver) -> None:
    with pytest.raises(ProgramError, match="cannot listen"):
        TraceReceiver(receiver.port).start()


def test_stopping_frees_the_port_and_may_be_repeated() -> None:
    receiver = TraceReceiver(free_port())
    receiver.start()
    receiver.stop()
    receiver.stop()
    with TraceReceiver(receiver.port):
        pass


def test_the_tree_follows_parents_and_orders_by_start() -> None:
    spans = [span("c", "a", 3), span("b", "a", 2), span("a", "client", 1), span("d", "c", 4)]
    (top,) = tree(spans)
    assert top.span.span_id == "a"
    assert [branch.span.span_id for branch in top.children] == ["b", "c"]
    assert [branch.span.span_id for branch in top.children[1].children] == ["d"]


def test_a_span_whose_parent_is_unknown_stands_at_the_top() -> None:
    assert [branch.span.span_id for branch in tree([span("a", "", 1), span("b", "elsewhere", 2)])] == ["a", "b"]
