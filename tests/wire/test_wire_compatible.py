"""Our subset of Envoy's messages against the published ones, as another library knows them, on fields and on bytes."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from envoy_data_plane.envoy.config.core.v3 import HeaderMap, HeaderValue, HeaderValueOption, Metadata
from envoy_data_plane.envoy.service.auth.v3 import (
    AttributeContext,
    AttributeContextHttpRequest,
    AttributeContextRequest,
    CheckRequest,
    CheckResponse,
    DeniedHttpResponse,
    OkHttpResponse,
)
from envoy_data_plane.envoy.type.v3 import HttpStatus
from envoy_data_plane.google.rpc import Status
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from extauthz.wire import check_pb2 as wire

PUBLISHED: dict[str, type] = {
    "HeaderValue": HeaderValue,
    "HeaderMap": HeaderMap,
    "Metadata": Metadata,
    "AttributeContext": AttributeContext,
    "AttributeContext.HttpRequest": AttributeContextHttpRequest,
    "AttributeContext.Request": AttributeContextRequest,
    "CheckRequest": CheckRequest,
    "HeaderValueOption": HeaderValueOption,
    "HttpStatus": HttpStatus,
    "Status": Status,
    "DeniedHttpResponse": DeniedHttpResponse,
    "OkHttpResponse": OkHttpResponse,
    "CheckResponse": CheckResponse,
}

SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_MESSAGE: "message",
}


def messages(descriptors: Any, prefix: str = "") -> Iterator[tuple[str, Descriptor]]:
    for name, descriptor in descriptors.items():
        if not descriptor.GetOptions().map_entry:
            yield prefix + name, descriptor
            yield from messages(descriptor.nested_types_by_name, prefix + name + ".")


OURS = dict(messages(wire.DESCRIPTOR.message_types_by_name))


def test_every_message_has_a_published_counterpart() -> None:
    assert OURS.keys() == PUBLISHED.keys()


@pytest.mark.parametrize(
    ("message", "field"), [(name, field) for name, descriptor in OURS.items() for field in descriptor.fields_by_name]
)
def test_field_has_the_published_number_and_type(message: str, field: str) -> None:
    ours = OURS[message].fields_by_name[field]
    published = next(f for f in dataclasses.fields(PUBLISHED[message]) if f.name == field).metadata["betterproto"]
    is_map = ours.message_type is not None and ours.message_type.GetOptions().map_entry
    assert ours.number == published.number
    assert ("map" if is_map else SCALARS[ours.type]) == published.proto_type
    assert ours.is_repeated == (published.repeated or is_map)
    if is_map:
        assert [(f.number, SCALARS[f.type]) for f in ours.message_type.fields] == [
            (f.number, f.proto_type) for f in published.map_meta
        ]
    oneof = ours.containing_oneof.name if ours.containing_oneof else None
    assert oneof == published.group


def test_enum_values_are_the_published_ones() -> None:
    enum: EnumDescriptor = wire.HeaderValueOption.DESCRIPTOR.enum_types_by_name["HeaderAppendAction"]
    published = type(HeaderValueOption().append_action)
    assert {value.name: value.number for value in enum.values} == {value.name: int(value) for value in published}


def filled(descriptor: Descriptor, message: Message, depth: int = 0) -> Message:
    """The message with something in every field (of a oneof: the last)."""
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entries = getattr(message, field.name)
            if field.message_type.fields_by_name["value"].message_type is None:
                entries["k"] = "v"
            elif field.message_type.fields_by_name["value"].message_type.name == "Struct":
                entries["k"].update({"s": "x", "n": 1.5, "b": True, "o": {"l": ["y", None]}})
            continue
        if field.message_type is not None:
            if field.message_type.name == "Struct":
                getattr(message, field.name).update({"s": "x", "o": {"n": 2}})
            elif field.is_repeated:
                filled(field.message_type, getattr(message, field.name).add(), depth + 1)
            else:
                getattr(message, field.name).SetInParent()
                filled(field.message_type, getattr(message, field.name), depth + 1)
            continue
        value: Any = {
            FieldDescriptor.TYPE_STRING: f"{field.name}-é",
            FieldDescriptor.TYPE_BYTES: b"\xff\x00",
            FieldDescriptor.TYPE_INT32: 7,
            FieldDescriptor.TYPE_INT64: 2**40,
            FieldDescriptor.TYPE_ENUM: 2,
        }[field.type]
        if field.is_repeated:
            getattr(message, field.name).extend([value, value])
        else:
            setattr(message, field.name, value)
    return message


@pytest.mark.parametrize("name", [name for name in OURS if "." not in name])
def test_bytes_of_ours_survive_the_published_message(name: str) -> None:
    ours = filled(OURS[name], getattr(wire, name)())
    theirs = PUBLISHED[name].parse(ours.SerializeToString())
    back = type(ours).FromString(bytes(theirs))
    assert ours == back
    assert theirs == PUBLISHED[name].parse(back.SerializeToString())


def test_bytes_of_the_published_message_are_read_with_all_their_other_fields_skipped() -> None:
    published = CheckRequest(
        attributes=AttributeContext(
            request=AttributeContextRequest(
                http=AttributeContextHttpRequest(
                    id="12",
                    method="POST",
                    path="/mcp?x",
                    host="h",
                    headers={"a": "b"},
                    query="q",
                    raw_body=b"{}",
                    size=2,
                )
            ),
            context_extensions={"resource": "weather"},
        )
    )
    ours = wire.CheckRequest.FromString(bytes(published))
    http = ours.attributes.request.http
    assert ("POST", "/mcp?x", "h", {"a": "b"}, b"{}", 2) == (
        http.method,
        http.path,
        http.host,
        dict(http.headers),
        http.raw_body,
        http.size,
    )
    assert dict(ours.attributes.context_extensions) == {"resource": "weather"}
