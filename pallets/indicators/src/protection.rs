//! Protected networks.

use crate::{sitting::Sitting, Config, Error, Pallet, ProtectedNetworks};
use frame_support::ensure;
use ringfence_primitives::{Address, ChangeKind, Indicator, Network};
use sp_runtime::{DispatchError, DispatchResult};

/// The widest IPv4 network that an indicator may name, in leading bits: no registry hands one operator more.
pub(crate) const WIDEST_V4: u8 = 8;
/// The same for IPv6.
pub(crate) const WIDEST_V6: u8 = 20;

impl<T: Config> Pallet<T> {
	/// Refuses what must not be blocked: what is too wide, or overlaps a protected network.
	pub fn ensure_blockable(indicator: &Indicator) -> DispatchResult {
		Self::ensure_narrow(indicator)?;
		ensure!(indicator.overlap(&ProtectedNetworks::<T>::get()).is_none(), Error::<T>::OverlapsProtected);
		Ok(())
	}

	/// The same, where many are asked about.
	pub(crate) fn ensure_outside(sitting: &mut Sitting<T>, indicator: &Indicator) -> Result<(), Error<T>> {
		Self::ensure_narrow(indicator)?;
		ensure!(!sitting.protects(indicator), Error::<T>::OverlapsProtected);
		Ok(())
	}

	fn ensure_narrow(indicator: &Indicator) -> Result<(), Error<T>> {
		let too_wide = |network: &Network| match network.address() {
			Address::V4(_) => network.prefix() < WIDEST_V4,
			Address::V6(_) => network.prefix() < WIDEST_V6,
		};
		ensure!(!indicator.networks().any(|network| too_wide(&network)), Error::<T>::TooWide);
		Ok(())
	}

	pub(crate) fn do_protect(network: Network) -> Result<u64, DispatchError> {
		ProtectedNetworks::<T>::try_mutate(|networks| {
			ensure!(!networks.contains(&network), Error::<T>::AlreadyProtected);
			networks.try_push(network).map_err(|_| Error::<T>::TooManyProtected)?;
			Ok(Self::append(ChangeKind::Protected(network)))
		})
	}

	pub(crate) fn do_unprotect(network: Network) -> Result<u64, DispatchError> {
		ProtectedNetworks::<T>::try_mutate(|networks| {
			let position = networks.iter().position(|n| *n == network).ok_or(Error::<T>::NotProtected)?;
			networks.remove(position);
			Ok(Self::append(ChangeKind::Unprotected(network)))
		})
	}
}
