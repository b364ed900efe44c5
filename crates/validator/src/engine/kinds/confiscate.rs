//! CONFISCATE `{account?, to?}`: ownership ends, of the asset or of one holding.
//!
//! - Footprint: writes the asset, or both holdings.
//! - Effect: the state becomes CONFISCATED, for ever. Of an asset nothing changes any more; of a holding all units go to
//!   `to`, frozen ones too, and none comes back.
//! - Rejected: `TRANSITION_NOT_ALLOWED`, `HOLDING_BLOCKED` if there are units and `to` may not receive.
//! - Inverse: none; it is never undone automatically.

use common::amount::Amount;
use common::request::Forfeit;

use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;
use super::forced;
use super::regulatory::{self, Action};

pub(super) fn footprint(holding: Option<&Forfeit>, touched: &mut Touched<'_>) -> ChangeSlots {
    let slots = regulatory::footprint(holding.map(|holding| &holding.account), touched);
    let to = holding.map(|holding| touched.writes_holding(&holding.to));
    ChangeSlots { from: slots.holding, to, ..slots }
}

pub(super) fn apply(applying: &mut Applying<'_, '_>) {
    if let Some(slot) = applying.slots.holding {
        let balance = applying.overlay.holding(slot).balance;
        if balance > Amount::ZERO && !forced::moved(balance, applying) {
            return;
        }
        applying.overlay.set_frozen(slot, Amount::ZERO);
    }
    regulatory::step(Action::Confiscate, applying);
}
