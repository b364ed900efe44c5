//! ADD_CHAIN `{chain}`: one more chain holds a copy of the asset.
//!
//! - Footprint: writes the asset.
//! - Effect: the name joins the asset's chains; the entry's update goes to it with `from` 0, or with the last version
//!   that it was told if the asset was there before.
//! - Rejected: `UNKNOWN_TARGET`, `CHAIN_ALREADY_PRESENT`, `TOO_MANY_CHAINS`.
//! - Inverse: the name leaves the chains; the reverting update still goes to it, and its version stays in `former_chains`.

use common::ids::Name;
use common::request::limits::TARGET_CHAINS_MAX;

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;

pub(super) fn footprint(touched: &mut Touched<'_>) -> ChangeSlots {
    touched.writes_asset();
    ChangeSlots::default()
}

pub(super) fn apply(chain: &Name, applying: &mut Applying<'_, '_>) {
    applying.check_target(chain, "/chain");
    let Some(asset) = applying.overlay.change_asset() else { return };
    match asset.chains.binary_search_by(|present| present.as_str().cmp(chain.as_str())) {
        Ok(_) => {
            applying.error(Code::ChainAlreadyPresent, "/chain", format!("the asset is on {chain} already"));
        }
        Err(_) if asset.chains.len() >= TARGET_CHAINS_MAX => {
            let detail = format!("an asset is on at most {TARGET_CHAINS_MAX} chains");
            applying.error(Code::TooManyChains, "/chain", detail);
        }
        Err(place) => {
            asset.chains.insert(place, chain.to_string());
            asset.former_chains.remove(chain.as_str());
        }
    }
}
