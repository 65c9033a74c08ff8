"""As many samples in a row as there are turns take every upgrade, and each needs the releases that it says."""

import sample


def test_samples_in_a_row_take_every_upgrade_once():
    places = [sample.position(release, dialect) for release in sample.RELEASES for dialect in sample.DIALECTS]
    assert places == list(range(len(places)))
    for at in range(100):
        assert [sample.is_in_sample(at, number, sample.EVERY) for number in range(20, 20 + sample.EVERY)].count(True) == 1


def test_a_sample_needs_few_releases_and_all_come_round():
    assert sample.releases(None) == [release for release in sample.RELEASES if release != sample.NEWEST]
    for number in range(sample.EVERY):
        taken = [r for r in sample.RELEASES for d in sample.DIALECTS if sample.is_in_sample(sample.position(r, d), number, sample.EVERY)]
        assert sample.releases(number) == [release for release in taken if release != sample.NEWEST]
        assert 1 <= len(taken) <= 2
    assert {release for number in range(sample.EVERY) for release in sample.releases(number)} == set(sample.releases(None))
