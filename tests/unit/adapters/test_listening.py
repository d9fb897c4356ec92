import os
import socket
from pathlib import Path

import pytest

from extauthz.adapters.listening import ListenFault, claim, parse_listen
from extauthz.service.endpoint import TcpEndpoint, UnixEndpoint


class TestReading:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("127.0.0.1:9001", TcpEndpoint("127.0.0.1", 9001)),
            ("0.0.0.0:0", TcpEndpoint("0.0.0.0", 0)),
            ("localhost:65535", TcpEndpoint("localhost", 65535)),
            ("[::1]:9001", TcpEndpoint("::1", 9001)),
            ("unix:/run/extauthz.sock", UnixEndpoint("/run/extauthz.sock")),
            ("unix:///run/extauthz.sock", UnixEndpoint("/run/extauthz.sock")),
            ("unix:extauthz.sock", UnixEndpoint("extauthz.sock")),
        ],
    )
    def test_an_address_is_read_and_written_again(self, text: str, expected: TcpEndpoint | UnixEndpoint) -> None:
        assert parse_listen(text) == expected
        assert parse_listen(str(expected)) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "9001",
            ":9001",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "127.0.0.1:-1",
            "::1:9001",
            "http://a:1",
            "a:1 ",
            "unix:",
            "unix:a\0b",
        ],
    )
    def test_what_is_no_address_is_refused_with_an_example(self, text: str) -> None:
        with pytest.raises(ListenFault, match="write"):
            parse_listen(text)

    def test_a_socket_path_that_the_system_cannot_hold_is_refused(self) -> None:
        with pytest.raises(ListenFault, match="107 bytes"):
            parse_listen("unix:/" + "a" * 107)


class TestTcp:
    def test_a_free_port_can_be_claimed_again_and_again(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as owner:
            port = owner.getsockname()[1]
        claim(TcpEndpoint("127.0.0.1", port))
        claim(TcpEndpoint("127.0.0.1", port))

    def test_a_port_that_somebody_listens_on_is_named_with_a_way_out(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as owner:
            port = owner.getsockname()[1]
            with pytest.raises(ListenFault, match=rf"127\.0\.0\.1:{port}: another program listens there: stop it, or"):
                claim(TcpEndpoint("127.0.0.1", port))

    def test_an_address_of_another_machine_is_refused(self) -> None:
        with pytest.raises(ListenFault, match="no such address"):
            claim(TcpEndpoint("192.0.2.1", 0))

    def test_a_name_that_does_not_resolve_is_refused(self) -> None:
        with pytest.raises(ListenFault, match="cannot be resolved"):
            claim(TcpEndpoint("name..invalid", 0))


class TestUnix:
    def test_a_socket_that_nobody_listens_on_any_more_is_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        assert path.exists()
        claim(UnixEndpoint(str(path)))
        assert not path.exists()

    def test_a_socket_that_somebody_listens_on_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as owner:
            owner.bind(str(path))
            owner.listen()
            with pytest.raises(ListenFault, match="another program listens there"):
                claim(UnixEndpoint(str(path)))
        assert path.exists()

    def test_an_ordinary_file_is_never_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "s"
        path.write_text("precious")
        with pytest.raises(ListenFault, match="no socket"):
            claim(UnixEndpoint(str(path)))
        assert path.read_text() == "precious"

    def test_a_symbolic_link_is_not_followed(self, tmp_path: Path) -> None:
        target, path = tmp_path / "t", tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(target))
        path.symlink_to(target)
        with pytest.raises(ListenFault, match="no socket"):
            claim(UnixEndpoint(str(path)))
        assert target.exists()

    def test_a_missing_directory_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ListenFault, match=r"no directory .*nowhere: make it"):
            claim(UnixEndpoint(os.fspath(tmp_path / "nowhere" / "s")))
