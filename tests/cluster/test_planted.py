"""Faults that a proxy makes on the way to real servers: the checker finds each."""

import pytest
from fleet import fleet
from liar import FAULTS, liar
from load import load


@pytest.mark.rotates
@pytest.mark.parametrize("fault", FAULTS)
def test_the_checker_finds_what_a_proxy_does_wrong(database, fault):
    with fleet(database) as servers, liar(servers.address, fault) as proxy:
        with load(proxy.server_address, clients=8) as work:
            proxy.is_lying = True
            while proxy.lies < 6:
                work.wait(50)
        # The last reads went the same way; what is stored is asked for directly.
        work.address = servers.address
        found = {violation.key[0] for violation in work.violations()}
    assert found & FAULTS[fault] and found <= FAULTS[fault], found
