//! What always holds.

use crate::{
	Config, Delegates, Enrolments, EnvelopeKeys, Isps, Leader, Ledger, Member, Members, Named, Nodes, Owners, Pallet,
	Power, Role, Settings, Signer, Signers, Status,
};
use alloc::collections::BTreeMap;
use frame_support::{ensure, traits::Get};
use sp_runtime::TryRuntimeError;

impl<T: Config> Pallet<T> {
	/// Checks every invariant of the pallet.
	pub fn do_try_state() -> Result<(), TryRuntimeError> {
		Self::check_members()?;
		Self::check_keys()?;
		Self::check_belongings()?;
		ensure!(Settings::<T>::get().are_sound(), "under these parameters somebody cannot act");
		Ok(())
	}

	fn check_members() -> Result<(), TryRuntimeError> {
		let isps = Isps::<T>::get();
		let mut active = 0usize;
		let mut subscribers = BTreeMap::<T::AccountId, u32>::new();
		for (account, Member { role, status }) in Members::<T>::iter() {
			if role == Role::Isp && status == Status::Active {
				active = active.saturating_add(1);
				ensure!(isps.contains(&account), "an active ISP is not on the list");
			}
			if let Role::Subscriber { isp } = role {
				let count = subscribers.entry(isp).or_default();
				*count = count.saturating_add(1);
			}
			ensure!(Self::has_nonce(&account), "a member's nonce is not kept");
			let owner = Owners::<T>::get(&account).ok_or("a member has no owner")?;
			ensure!(
				Signers::<T>::get(owner) == Some(Signer { member: account, power: Power::Owner }),
				"an owner does not sign for its member"
			);
		}
		ensure!(active == isps.len(), "the list of ISPs holds somebody twice, or who is not an active ISP");
		if let Some(leader) = Leader::<T>::get() {
			ensure!(isps.contains(&leader), "the leader is not an active ISP");
		}
		for (isp, count) in subscribers {
			ensure!(count <= Enrolments::<T>::get(isp), "a subscriber was never counted");
		}
		for (_, count) in Enrolments::<T>::iter() {
			ensure!(count <= T::MaxSubscribers::get(), "an ISP enrolled more than it may");
		}
		Ok(())
	}

	fn check_keys() -> Result<(), TryRuntimeError> {
		let mut signers = 0usize;
		for (account, Signer { member, power }) in Signers::<T>::iter() {
			signers = signers.saturating_add(1);
			ensure!(Self::has_nonce(&account), "a signer's nonce is not kept");
			ensure!(account == member || !Members::<T>::contains_key(&account), "a member signs for another member");
			match power {
				Power::Owner => {
					ensure!(Owners::<T>::get(&member) == Some(account), "somebody owns what is not its own");
				}
				Power::Delegate { report, vet } => {
					ensure!(report || vet, "a delegate has no scope");
					ensure!(Delegates::<T>::get(&member).contains(&account), "a delegate that nobody named");
				}
			}
		}
		let mut named = 0usize;
		for (member, _) in Owners::<T>::iter() {
			named = named.saturating_add(1);
			ensure!(Members::<T>::contains_key(&member), "an owner of nobody");
		}
		for (member, delegates) in Delegates::<T>::iter() {
			named = named.saturating_add(delegates.len());
			ensure!(Members::<T>::contains_key(&member), "a delegate of nobody");
			ensure!(!delegates.is_empty(), "an empty list of delegates is kept");
		}
		// Each signer was found in one of the lists, so equal numbers mean that no list names a key that does not sign.
		ensure!(signers == named, "owners and delegates are not the signers");
		for (_, count) in Named::<T>::iter() {
			ensure!(count <= T::MaxNamed::get(), "a member named more keys than it may");
		}
		Ok(())
	}

	fn check_belongings() -> Result<(), TryRuntimeError> {
		for (isp, nodes) in Nodes::<T>::iter() {
			ensure!(Members::<T>::get(isp).is_some_and(|m| m.role == Role::Isp), "nodes of somebody who is not an ISP");
			ensure!(!nodes.is_empty() && nodes.iter().all(|node| !node.is_empty()), "an empty node id");
		}
		for (member, key) in EnvelopeKeys::<T>::iter() {
			ensure!(Members::<T>::contains_key(member), "an envelope key of nobody");
			ensure!(key != [0; 32], "an envelope key that no secret fits");
		}
		for (_, entry) in Ledger::<T>::iter() {
			ensure!(entry.contribution.sightings <= entry.contribution.votes, "more sightings than votes");
			ensure!(entry.score.at <= frame_system::Pallet::<T>::block_number(), "a score of the future");
		}
		Ok(())
	}
}
