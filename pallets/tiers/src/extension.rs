//! The door: transaction extensions that let in only what a member in good standing signed.

use crate::{Call, Config, Pallet, Pass, Role, WeightInfo};
use codec::{Decode, DecodeWithMemTracking, Encode};
use core::{fmt, marker::PhantomData};
use frame_support::{dispatch::DispatchInfo, pallet_prelude::TransactionSource, traits::IsSubType, weights::Weight};
use frame_system::CheckMortality;
use scale_info::TypeInfo;
use sp_runtime::{
	generic::Era,
	impl_tx_ext_default,
	traits::{AsSystemOriginSigner, DispatchInfoOf, Dispatchable, Implication, TransactionExtension, ValidateResult},
	transaction_validity::{
		InvalidTransaction, TransactionPriority, TransactionTag, TransactionValidityError, ValidTransaction,
	},
};

type CallOf<T> = <T as frame_system::Config>::RuntimeCall;

/// Blocks for which a transaction waits in the pool.
const LONGEVITY: u64 = 64;

/// Why the door stayed shut: the number in `InvalidTransaction::Custom`. Numbers from 16 on belong to [`Screen`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Refusal {
	/// The signer acts for no member, or for one that is suspended, or whose ISP is.
	NotActiveMember = 1,
	/// Nobody signed.
	Unsigned = 2,
	/// The transaction would be valid for ever.
	Immortal = 3,
	/// The call has more items than the signer may have included in a whole window.
	TooMuchAtOnce = 4,
}

/// A look at a call before it comes in. `member` is in whose name it was signed, whichever key signed it.
pub trait Screen<AccountId, Call> {
	/// Refuses what is bound to fail, so that it takes no place in a block and its sender hears at once why. Says which tag
	/// has to be provided, by an earlier block or earlier in the same, before the call makes sense. Until then no block takes
	/// it.
	fn screen(member: &AccountId, call: &Call) -> Result<Option<TransactionTag>, InvalidTransaction>;

	/// How many items of the member's quota the call takes. It takes one at least.
	fn cost(_member: &AccountId, _call: &Call) -> u32 {
		1
	}

	/// What the look costs.
	fn weight(call: &Call) -> Weight;
}

/// Lets everything in.
impl<AccountId, Call> Screen<AccountId, Call> for () {
	fn screen(_: &AccountId, _: &Call) -> Result<Option<TransactionTag>, InvalidTransaction> {
		Ok(None)
	}

	fn weight(_: &Call) -> Weight {
		Weight::zero()
	}
}

impl From<Refusal> for TransactionValidityError {
	fn from(refusal: Refusal) -> Self {
		InvalidTransaction::Custom(refusal as u8).into()
	}
}

/// Lets in only active members' transactions, within their quota, with a priority by role, by what is left of the quota, and
/// for single items before batches. The owner of a member that may not act comes in with [`Call::rotate`] and
/// [`Call::revoke_delegate`], to secure its keys.
///
/// Nothing of it is encoded, so a wallet that does not know it can ignore it. Beyond the quota the answer is
/// `ExhaustsResources`: while authoring, the transaction stays in the pool for the next window.
#[derive(Clone, Eq, PartialEq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct CheckMember<T>(PhantomData<T>);

impl<T> Default for CheckMember<T> {
	fn default() -> Self {
		Self(PhantomData)
	}
}

impl<T> fmt::Debug for CheckMember<T> {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("CheckMember")
	}
}

/// What puts a single item before a batch, in thousandths of a quota: a flood of single items passes by the others' lists
/// until its member has said so much more than they.
const SINGLE: TransactionPriority = 20;

/// Providers go first, since they vet; households last, since there are most of them. Within a role those go first who
/// have said least, so that who floods queues behind the quiet; and what is about an attack that goes on need not wait for
/// somebody's list.
fn priority<AccountId>(pass: &Pass<AccountId>, cost: u32, left: u32) -> TransactionPriority {
	let base: TransactionPriority = match pass.role {
		Role::Isp => 3_000_000,
		Role::Researcher => 2_000_000,
		Role::Subscriber { .. } => 1_000_000,
	};
	base.saturating_add(u64::from(left).saturating_mul(1_000) / u64::from(pass.allowance.max(1)))
		.saturating_add(if cost == 1 { SINGLE } else { 0 })
}

/// Whether a member that may not act may have the call included all the same.
fn secures_keys<T: Config>(call: &CallOf<T>) -> bool
where
	CallOf<T>: IsSubType<Call<T>>,
{
	let call: Option<&Call<T>> = call.is_sub_type();
	matches!(call, Some(Call::rotate { .. } | Call::revoke_delegate { .. }))
}

impl<T: Config + Send + Sync> TransactionExtension<CallOf<T>> for CheckMember<T>
where
	CallOf<T>: Dispatchable<Info = DispatchInfo> + IsSubType<Call<T>>,
	<CallOf<T> as Dispatchable>::RuntimeOrigin: AsSystemOriginSigner<T::AccountId> + Clone,
{
	const IDENTIFIER: &'static str = "CheckMember";
	type Implicit = ();
	/// In whose name, how many items, and whether something has to come before it.
	type Val = (Pass<T::AccountId>, u32, bool);
	type Pre = ();

	fn weight(&self, call: &CallOf<T>) -> Weight {
		T::WeightInfo::check_member().saturating_add(T::Screen::weight(call))
	}

	fn validate(
		&self,
		origin: T::RuntimeOrigin,
		call: &CallOf<T>,
		_info: &DispatchInfoOf<CallOf<T>>,
		_len: usize,
		_self_implicit: Self::Implicit,
		_inherited_implication: &impl Implication,
		_source: TransactionSource,
	) -> ValidateResult<Self::Val, CallOf<T>> {
		let who = origin.as_system_origin_signer().ok_or(Refusal::Unsigned)?;
		let pass = Pallet::<T>::pass(who, secures_keys::<T>(call)).ok_or(Refusal::NotActiveMember)?;
		let cost = T::Screen::cost(&pass.member, call).max(1);
		if cost > pass.allowance {
			return Err(Refusal::TooMuchAtOnce.into());
		}
		let left = pass.allowance.saturating_sub(Pallet::<T>::spent(&pass.member));
		if cost > left {
			return Err(InvalidTransaction::ExhaustsResources.into());
		}
		let awaited = T::Screen::screen(&pass.member, call)?;
		let waits = awaited.is_some();
		let validity = ValidTransaction {
			priority: priority(&pass, cost, left),
			requires: awaited.into_iter().collect(),
			provides: Default::default(),
			longevity: LONGEVITY,
			propagate: true,
		};
		Ok((validity, (pass, cost, waits), origin))
	}

	fn prepare(
		self,
		(pass, cost, waits): Self::Val,
		_origin: &T::RuntimeOrigin,
		_call: &CallOf<T>,
		_info: &DispatchInfoOf<CallOf<T>>,
		_len: usize,
	) -> Result<Self::Pre, TransactionValidityError> {
		if waits {
			return Err(InvalidTransaction::Future.into());
		}
		if Pallet::<T>::debit(&pass.member, cost, pass.allowance) {
			Ok(())
		} else {
			Err(InvalidTransaction::ExhaustsResources.into())
		}
	}
}

/// [`CheckMortality`] that refuses immortal transactions: one that nobody included today must not turn up in a year.
///
/// It keeps the name and the encoding, so wallets treat it as what they know.
#[derive(Clone, Eq, PartialEq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
#[scale_info(skip_type_params(T))]
pub struct MortalOnly<T: frame_system::Config + Send + Sync>(CheckMortality<T>);

impl<T: frame_system::Config + Send + Sync> From<Era> for MortalOnly<T> {
	fn from(era: Era) -> Self {
		Self(CheckMortality::from(era))
	}
}

impl<T: frame_system::Config + Send + Sync> fmt::Debug for MortalOnly<T> {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		self.0.fmt(f)
	}
}

impl<T: frame_system::Config + Send + Sync> TransactionExtension<T::RuntimeCall> for MortalOnly<T> {
	const IDENTIFIER: &'static str = <CheckMortality<T> as TransactionExtension<T::RuntimeCall>>::IDENTIFIER;
	type Implicit = T::Hash;
	type Val = ();
	type Pre = ();

	fn implicit(&self) -> Result<Self::Implicit, TransactionValidityError> {
		self.0.implicit()
	}

	fn weight(&self, call: &T::RuntimeCall) -> Weight {
		self.0.weight(call)
	}

	fn validate(
		&self,
		origin: T::RuntimeOrigin,
		call: &T::RuntimeCall,
		info: &DispatchInfoOf<T::RuntimeCall>,
		len: usize,
		self_implicit: Self::Implicit,
		inherited_implication: &impl Implication,
		source: TransactionSource,
	) -> ValidateResult<Self::Val, T::RuntimeCall> {
		if self.0 .0.is_immortal() {
			return Err(Refusal::Immortal.into());
		}
		self.0.validate(origin, call, info, len, self_implicit, inherited_implication, source)
	}

	impl_tx_ext_default!(T::RuntimeCall; prepare);
}
