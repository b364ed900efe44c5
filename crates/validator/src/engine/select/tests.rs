use super::{BATCH, Fronts, Take, Waiting, select};

const SMALL: Waiting = Waiting { bytes: 100, statuses: 1 };

fn many(count: usize) -> Vec<Waiting> {
    vec![SMALL; count]
}

#[test]
fn nothing_waits_nothing_is_taken() {
    assert!(select(&Fronts::default()).is_nothing());
}

#[test]
fn a_full_express_stream_leaves_room_for_the_others() {
    let all = many(1000);
    let take = select(&Fronts { express: &all, receipts: &all, input: &all });
    assert_eq!(take, Take { express: 192, receipts: 32, input: 32 });
}

#[test]
fn what_one_stream_does_not_use_goes_to_the_next() {
    let (all, few) = (many(1000), many(4));
    assert_eq!(select(&Fronts { input: &all, ..Fronts::default() }), Take { input: 256, ..Take::default() });
    let take = select(&Fronts { express: &few, receipts: &few, input: &all });
    assert_eq!(take, Take { express: 4, receipts: 4, input: 248 });
}

#[test]
fn a_receipt_counts_as_the_requests_it_ends() {
    let receipts = vec![Waiting { bytes: 200, statuses: 200 }; 10];
    let take = select(&Fronts { receipts: &receipts, input: &many(1000), ..Fronts::default() });
    // Half of 768 status writes takes one of them; 255 messages are left for the rest.
    assert_eq!(take, Take { express: 0, receipts: 1, input: 255 });
}

#[test]
fn a_receipt_of_a_full_entry_fits_beside_a_full_express_stream() {
    let receipts = [Waiting { bytes: 5000, statuses: 256 }];
    let take = select(&Fronts { express: &many(1000), receipts: &receipts, input: &[] });
    assert_eq!((take.express, take.receipts), (192, 1));
}

#[test]
fn a_receipt_that_ends_as_many_as_a_batch_may_write_goes_alone_at_once() {
    let all = many(1000);
    let receipts = [Waiting { bytes: 5000, statuses: BATCH.statuses }, SMALL];
    let take = select(&Fronts { express: &all, receipts: &receipts, input: &all });
    assert_eq!(take, Take { receipts: 1, ..Take::default() });
}

#[test]
fn only_a_whole_prefix_is_taken() {
    let large = Waiting { bytes: BATCH.bytes, statuses: 1 };
    let input = [SMALL, large, SMALL];
    assert_eq!(select(&Fronts { input: &input, ..Fronts::default() }).input, 1);
    assert_eq!(select(&Fronts { input: &input[1..], ..Fronts::default() }).input, 1);
}

#[test]
fn a_message_larger_than_a_batch_goes_alone() {
    let huge = [Waiting { bytes: BATCH.bytes + 1, statuses: 1 }, SMALL];
    let all = many(10);
    let alone = |fronts| {
        let take: Take = select(&fronts);
        (take.express, take.receipts, take.input)
    };
    assert_eq!(alone(Fronts { express: &all, receipts: &all, input: &huge }), (0, 0, 1));
    assert_eq!(alone(Fronts { express: &all, receipts: &huge, input: &huge }), (0, 1, 0));
    assert_eq!(alone(Fronts { express: &huge, receipts: &huge, input: &huge }), (1, 0, 0));
}

#[test]
fn a_message_larger_than_its_streams_share_of_an_empty_batch_goes_alone() {
    let of = |bytes| [Waiting { bytes, statuses: 1 }, SMALL];
    let (three_quarters, half) = (BATCH.bytes * 3 / 4, BATCH.bytes / 2);
    let fits = select(&Fronts { express: &of(three_quarters), receipts: &[], input: &many(3) });
    assert_eq!(fits, Take { express: 1, receipts: 0, input: 3 });
    let alone = select(&Fronts { express: &of(three_quarters + 1), receipts: &[], input: &many(3) });
    assert_eq!(alone, Take { express: 1, receipts: 0, input: 0 });
    let fits = select(&Fronts { express: &[], receipts: &of(half), input: &many(3) });
    assert_eq!(fits, Take { express: 0, receipts: 1, input: 3 });
    let alone = select(&Fronts { express: &many(3), receipts: &of(half + 1), input: &many(3) });
    assert_eq!(alone, Take { express: 0, receipts: 1, input: 0 });
    let crowded = vec![Waiting { bytes: 100, statuses: BATCH.statuses / 2 + 1 }; 2];
    assert_eq!(select(&Fronts { receipts: &crowded, ..Fronts::default() }).receipts, 1);
}

#[test]
fn no_batch_of_several_exceeds_its_bounds_and_none_is_empty_while_something_waits() {
    let mut seed = 7_u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((seed >> 33) % below).expect("small")
    };
    for round in 0..4000 {
        // Every other round with messages up to more than a whole batch.
        let (count_max, bytes_max) = if round % 2 == 0 { (400, 20_000) } else { (4, 600 * 1024) };
        let mut front = |statuses_max: u64| -> Vec<Waiting> {
            (0..next(count_max))
                .map(|_| Waiting { bytes: 1 + next(bytes_max), statuses: 1 + next(statuses_max) })
                .collect()
        };
        let (express, receipts, input) = (front(1), front(256), front(1));
        let take = select(&Fronts { express: &express, receipts: &receipts, input: &input });
        let taken =
            express[..take.express].iter().chain(&receipts[..take.receipts]).chain(&input[..take.input]);
        let (messages, bytes, statuses) =
            taken.fold((0, 0, 0), |sum, one| (sum.0 + 1, sum.1 + one.bytes, sum.2 + one.statuses));
        let within = messages <= BATCH.messages && bytes <= BATCH.bytes && statuses <= BATCH.statuses;
        assert!(within || messages == 1, "{messages} messages, {bytes} bytes, {statuses} statuses");
        assert_eq!(take.is_nothing(), express.is_empty() && receipts.is_empty() && input.is_empty());
    }
}
