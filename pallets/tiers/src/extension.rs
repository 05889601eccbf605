//! The door: transaction extensions that let in only what a member in good standing signed.

use crate::{Config, Pallet, Role, WeightInfo};
use codec::{Decode, DecodeWithMemTracking, Encode};
use core::{fmt, marker::PhantomData};
use frame_support::{dispatch::DispatchInfo, pallet_prelude::TransactionSource, weights::Weight};
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

/// Blocks for which a transaction waits in the pool.
const LONGEVITY: u64 = 64;

/// Why the door stayed shut: the number in `InvalidTransaction::Custom`. Numbers from 16 on belong to [`Screen`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Refusal {
	/// The signer is not a member, or it is suspended, or its ISP is.
	NotActiveMember = 1,
	/// Nobody signed.
	Unsigned = 2,
	/// The transaction would be valid for ever.
	Immortal = 3,
}

/// A look at a call before it comes in.
pub trait Screen<AccountId, Call> {
	/// Refuses what is bound to fail, so that it takes no place in a block and its sender hears at once why. Says what
	/// the call has to come after, where it makes sense only then.
	fn screen(who: &AccountId, call: &Call) -> Result<Order, InvalidTransaction>;

	/// What the look costs.
	fn weight(call: &Call) -> Weight;
}

/// How a transaction is ordered among those in the pool, beside its nonce.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
	/// What may come once this one is in a block.
	pub provides: Option<TransactionTag>,
	/// What has to be in a block before this one, or earlier in the same.
	pub requires: Option<TransactionTag>,
}

/// Lets everything in.
impl<AccountId, Call> Screen<AccountId, Call> for () {
	fn screen(_: &AccountId, _: &Call) -> Result<Order, InvalidTransaction> {
		Ok(Order::default())
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

/// Lets in only active members' transactions, within their quota, with a priority by role.
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

/// Providers go first, since they vet; households last, since there are most of them.
fn priority<AccountId>(role: &Role<AccountId>) -> TransactionPriority {
	match role {
		Role::Isp => 3_000_000,
		Role::Researcher => 2_000_000,
		Role::Subscriber { .. } => 1_000_000,
	}
}

impl<T: Config + Send + Sync> TransactionExtension<T::RuntimeCall> for CheckMember<T>
where
	T::RuntimeCall: Dispatchable<Info = DispatchInfo>,
	<T::RuntimeCall as Dispatchable>::RuntimeOrigin: AsSystemOriginSigner<T::AccountId> + Clone,
{
	const IDENTIFIER: &'static str = "CheckMember";
	type Implicit = ();
	type Val = (T::AccountId, Role<T::AccountId>);
	type Pre = ();

	fn weight(&self, call: &T::RuntimeCall) -> Weight {
		T::WeightInfo::check_member().saturating_add(T::Screen::weight(call))
	}

	fn validate(
		&self,
		origin: T::RuntimeOrigin,
		call: &T::RuntimeCall,
		_info: &DispatchInfoOf<T::RuntimeCall>,
		_len: usize,
		_self_implicit: Self::Implicit,
		_inherited_implication: &impl Implication,
		_source: TransactionSource,
	) -> ValidateResult<Self::Val, T::RuntimeCall> {
		let who = origin.as_system_origin_signer().ok_or(Refusal::Unsigned)?.clone();
		let role = Pallet::<T>::active_role(&who).ok_or(Refusal::NotActiveMember)?;
		if Pallet::<T>::quota_left(&who, &role) == 0 {
			return Err(InvalidTransaction::ExhaustsResources.into());
		}
		let order = T::Screen::screen(&who, call)?;
		let validity = ValidTransaction {
			priority: priority(&role),
			requires: order.requires.into_iter().collect(),
			provides: order.provides.into_iter().collect(),
			longevity: LONGEVITY,
			propagate: true,
		};
		Ok((validity, (who, role), origin))
	}

	fn prepare(
		self,
		(who, role): Self::Val,
		_origin: &T::RuntimeOrigin,
		_call: &T::RuntimeCall,
		_info: &DispatchInfoOf<T::RuntimeCall>,
		_len: usize,
	) -> Result<Self::Pre, TransactionValidityError> {
		if Pallet::<T>::debit(&who, &role) {
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
