//! Protected networks, in both directions of overlap.

use crate::{mock::*, Error, ProtectedNetworks};
use frame_support::{assert_noop, assert_ok};
use ringfence_primitives::*;

type E = Error<Test>;

fn network(text: &str) -> Network {
	text.parse().unwrap()
}

#[test]
fn what_overlaps_a_protected_network_is_refused() {
	on_chain(|| {
		assert_ok!(Indicators::protect(origin(1), network("203.0.113.64/26")));
		for text in ["10.1.2.3", "10.0.0.0/8", "2001:db8:5::1", "203.0.113.64/27", "203.0.113.0/24", "2001:db8::/32"] {
			assert_noop!(Indicators::report(origin(1), indicator(text), terms()), E::OverlapsProtected);
		}
		let endpoint = Endpoint { address: Address::V4([10, 0, 0, 1]), protocol: Transport::Udp, port: 53 };
		assert_noop!(Indicators::report(origin(1), Indicator::Endpoint(endpoint), terms()), E::OverlapsProtected);
		let flow =
			FlowSignature { destination: Some(network("10.9.0.0/16")), protocol: Some(17), ..Default::default() };
		assert_noop!(Indicators::report(origin(1), Indicator::Flow(flow), terms()), E::OverlapsProtected);
		assert_ok!(Indicators::report(origin(1), indicator("203.0.113.63"), terms()));
	});
}

#[test]
fn protection_that_came_after_the_report_stops_the_vote() {
	on_chain(|| {
		let id = indicator("198.18.0.1").id();
		assert_ok!(Indicators::report(origin(1), indicator("198.18.0.1"), terms()));
		assert_ok!(Indicators::protect(origin(1), network("198.18.0.0/24")));
		assert_noop!(vote(2, id, Vote::Approve), E::OverlapsProtected);
		assert_ok!(vote(2, id, Vote::Reject));
	});
}

#[test]
fn governance_alone_protects_and_every_enforcer_hears_of_it() {
	on_chain(|| {
		let new = network("203.0.113.0/24");
		assert_noop!(Indicators::protect(origin(2), new), sp_runtime::DispatchError::BadOrigin);
		assert_noop!(Indicators::unprotect(origin(2), new), sp_runtime::DispatchError::BadOrigin);
		assert_noop!(Indicators::unprotect(origin(1), new), E::NotProtected);
		assert_ok!(Indicators::protect(origin(1), new));
		assert_eq!(newest(), ChangeKind::Protected(new));
		assert_noop!(Indicators::protect(origin(1), new), E::AlreadyProtected);
		assert_ok!(Indicators::unprotect(origin(1), new));
		assert_eq!(newest(), ChangeKind::Unprotected(new));
	});
}

#[test]
fn protected_networks_are_bounded() {
	on_chain(|| {
		for third in 0..2 {
			assert_ok!(Indicators::protect(origin(1), network(&format!("203.0.{third}.0/24"))));
		}
		assert_eq!(ProtectedNetworks::<Test>::get().len(), 4);
		assert_noop!(Indicators::protect(origin(1), network("203.0.9.0/24")), E::TooManyProtected);
	});
}
