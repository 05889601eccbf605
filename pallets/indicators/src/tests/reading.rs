//! What those who ask are told.

use crate::{mock::*, Digest, Members, Records};
use frame_support::assert_ok;
use ringfence_primitives::*;

fn names(address: &str, limit: u32) -> Vec<Indicator> {
	Indicators::about(address.parse().unwrap(), limit).into_iter().map(|(_, record)| record.indicator).collect()
}

fn report(indicator: &Indicator) {
	assert_ok!(Indicators::report(origin(1), indicator.clone(), terms()));
}

#[test]
fn an_address_is_found_by_whatever_names_it_the_narrowest_first() {
	on_chain(|| {
		let about = [
			indicator("198.18.0.1"),
			endpoint("198.18.0.1"),
			indicator("198.18.0.0/24"),
			flow("198.18.0.0/20"),
			indicator("198.18.0.0/16"),
		];
		let others =
			[indicator("198.18.0.2"), endpoint("198.18.0.2"), indicator("198.18.1.0/24"), flow("198.18.16.0/20")];
		about.iter().chain(&others).for_each(report);
		assert_eq!(names("198.18.0.1", 9), about);
		assert_eq!(names("198.18.0.1", 2), about[..2]);
		assert!(names("198.51.100.1", 9).is_empty());
	});
}

#[test]
fn so_is_an_ipv6_address() {
	on_chain(|| {
		let about = [endpoint("2600:1::1"), indicator("2600:1::/48"), flow("2600::/28")];
		about.iter().for_each(report);
		assert_eq!(names("2600:1::1", 9), about);
	});
}

#[test]
fn what_is_off_the_record_is_not_found() {
	on_chain(|| {
		let (withdrawn, lapsing) = (endpoint("198.18.0.1"), flow("198.18.0.0/24"));
		report(&withdrawn);
		report(&lapsing);
		assert_ok!(Indicators::withdraw(origin(1), withdrawn.id()));
		assert_eq!(names("198.18.0.1", 9), [lapsing]);
		live(HOUR + 10_000);
		assert!(names("198.18.0.1", 9).is_empty());
	});
}

#[test]
fn a_flow_to_somewhere_is_about_nobody() {
	on_chain(|| {
		let to = FlowSignature { destination: Some("198.18.0.1/32".parse().unwrap()), ..FlowSignature::default() };
		report(&Indicator::Flow(to));
		assert!(names("198.18.0.1", 9).is_empty());
	});
}

#[test]
fn a_dossier_says_why_and_until_when() {
	on_chain(|| {
		let id = activate("198.18.0.1");
		let dossier = Indicators::dossier((id, Records::<Test>::get(id).unwrap()));
		assert_eq!(dossier.standing, Standing::Active { since: START });
		assert_eq!((dossier.reporter, dossier.ends_at), (Register::bytes(&1), START + HOUR));
		assert_eq!(dossier.votes, [1, 2, 3].map(|isp| (Register::bytes(&isp), Vote::Approve)));

		let bad = indicator("198.18.0.2");
		report(&bad);
		let standing = || Indicators::dossier((bad.id(), Records::<Test>::get(bad.id()).unwrap())).standing;
		assert_eq!(standing(), Standing::Proposed);
		for isp in [2, 3] {
			assert_ok!(vote(isp, bad.id(), Vote::Reject));
		}
		assert_eq!(standing(), Standing::Rejected);
	});
}

#[test]
fn the_active_set_is_read_in_pages_in_the_order_of_names() {
	on_chain(|| {
		let mut active: Vec<_> = (1..=5).map(|last| activate(&format!("198.18.0.{last}"))).collect();
		active.sort_unstable();
		report(&indicator("198.18.1.1"));
		let names = |decisions: &[Decision]| decisions.iter().map(|d| d.indicator.id()).collect::<Vec<_>>();
		let all = Indicators::active(None, 9);
		assert_eq!(names(&all), active, "what awaits votes is not in force");
		assert_eq!(all.iter().collect::<ActiveDigest>(), Digest::<Test>::get());
		assert_eq!(names(&Indicators::active(None, 2)), active[..2]);
		assert_eq!(names(&Indicators::active(Some(active[1]), 2)), active[2..4]);
		assert_eq!(names(&Indicators::active(Some(active[3]), 2)), active[4..]);
		assert!(Indicators::active(Some(active[4]), 2).is_empty());
	});
}
