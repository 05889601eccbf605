//! Upgrades, from the state as the version before wrote it.

use crate::{migrations::MigrateV1ToV2, mock::*, Enrolments, Leader, Members, Owners, Role, Signers, Spent, Status};
use codec::Encode;
use frame_support::{
	assert_ok,
	storage::migration::put_storage_value,
	traits::{OnRuntimeUpgrade, StorageVersion},
	Blake2_128Concat, StorageHasher,
};

/// Entries of the register as version 1 wrote them.
mod v1 {
	use codec::Encode;

	#[derive(Encode)]
	pub enum Role {
		Isp,
		Subscriber { isp: u64 },
		Researcher,
	}

	#[derive(Encode)]
	pub enum Status {
		Active,
		Suspended,
	}
}

fn put_in_map(item: &str, account: u64, value: impl Encode) {
	put_storage_value(b"Tiers", item.as_bytes(), &Blake2_128Concat::hash(&account.encode()), value);
}

/// A register of version 1: ISPs 1 (the leader) and 2, the suspended ISP 3, subscriber 20 of 2, researcher 90.
fn on_version_1(test: impl FnOnce()) {
	sp_io::TestExternalities::default().execute_with(|| {
		System::set_block_number(1);
		StorageVersion::new(1).put::<Tiers>();
		for (account, role, status) in [
			(1, v1::Role::Isp, v1::Status::Active),
			(2, v1::Role::Isp, v1::Status::Active),
			(3, v1::Role::Isp, v1::Status::Suspended),
			(20, v1::Role::Subscriber { isp: 2 }, v1::Status::Active),
			(90, v1::Role::Researcher, v1::Status::Active),
		] {
			put_in_map("Members", account, (role, status));
			System::inc_providers(&account);
		}
		put_storage_value(b"Tiers", b"Leader", b"", 1u64);
		put_storage_value(b"Tiers", b"Isps", b"", vec![2u64, 1]);
		put_in_map("Enrolments", 2, 3u32);
		put_in_map("Spent", 20, (1u64, 4u32));
		test();
		check();
	});
}

#[test]
fn every_member_becomes_its_own_owner() {
	on_version_1(|| {
		MigrateV1ToV2::<Test>::on_runtime_upgrade();
		assert_eq!(StorageVersion::get::<Tiers>(), 2);
		for member in [1, 2, 3, 20, 90] {
			assert_eq!(Owners::<Test>::get(member), Some(member));
			assert_eq!(Tiers::owner_of(&member).map(|(member, _)| member), Some(member));
		}
		assert_eq!(Owners::<Test>::iter().count(), 5);
		assert_eq!(Signers::<Test>::iter().count(), 5);
		assert_eq!(Seats::get(), vec![1, 2], "active ISPs sit on the council");
	});
}

#[test]
fn what_was_there_is_there_still() {
	on_version_1(|| {
		MigrateV1ToV2::<Test>::on_runtime_upgrade();
		assert_eq!(Leader::<Test>::get(), Some(1));
		assert_eq!(Members::<Test>::get(3).unwrap().status, Status::Suspended);
		assert_eq!(Tiers::active_role(&20), Some(Role::Subscriber { isp: 2 }));
		assert_eq!(Tiers::active_role(&90), Some(Role::Researcher));
		assert_eq!(Enrolments::<Test>::get(2), 3);
		assert_eq!(Spent::<Test>::get(20), (1, 4));
		assert_eq!(Tiers::quota_left(&20, &Role::Subscriber { isp: 2 }), 6);
	});
}

#[test]
fn a_state_of_version_2_is_left_alone() {
	on_version_1(|| {
		MigrateV1ToV2::<Test>::on_runtime_upgrade();
		assert_ok!(Tiers::rotate(origin(2), 102));
		MigrateV1ToV2::<Test>::on_runtime_upgrade();
		assert_eq!(Owners::<Test>::get(2), Some(102));
		assert_eq!(Tiers::signer(&2), None);
	});
}

#[cfg(feature = "try-runtime")]
#[test]
fn the_migration_passes_its_own_checks() {
	on_version_1(|| {
		assert_ok!(MigrateV1ToV2::<Test>::try_on_runtime_upgrade(true));
	});
}
