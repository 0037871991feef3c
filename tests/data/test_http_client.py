"""The proxies of the environment."""

import pytest
import urllib3

from oac.data.http_client import connection_pool

URL = "http://photos.example:8080/a.jpg"


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_a_proxy_the_host_is_asked_itself():
    assert connection_pool(URL).proxy is None


@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "proxy.example:3128"])
def test_a_proxy_is_taken_for_its_scheme(monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    pool = connection_pool(URL)
    assert (pool.proxy.host, pool.proxy.port) == ("proxy.example", 3128)
    assert connection_pool(URL.replace("http", "https")).proxy is None


def test_the_login_of_a_proxy_is_sent(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:p%40ss@proxy.example:3128")
    sent = connection_pool(URL).proxy_headers
    assert sent == urllib3.make_headers(proxy_basic_auth="user:p@ss")


@pytest.mark.parametrize("excepted", ["photos.example", "photos.example:8080", ".example"])
def test_a_host_can_be_excepted(monkeypatch, excepted):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", excepted)
    assert connection_pool(URL).proxy is None


def test_a_proxy_that_speaks_no_http_is_named(monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://proxy.example:1080")
    with pytest.raises(ValueError, match=r"proxy\.example of http_proxy"):
        connection_pool(URL)
