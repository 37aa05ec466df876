//! The national platform's messages, and its answers.

use super::loose::{Loose, object, raw, text};
use super::values::{amount, extras, maybe_number, med_type, name, number, time};
use crate::bench::chance::Chance;

const KINDS: [&str; 9] = ["2207", "2304", "2208", "2305", "2201", "2401", "2402", "1101", "2206"];

/// A request that is to be understood.
pub(super) fn request(chance: &mut Chance) -> Loose {
    let kind = chance.pick(&KINDS);
    let input = match kind {
        "2207" | "2304" => placed(settlement(chance), chance),
        "2208" | "2305" => {
            placed(object([("setl_id", text(number("310000", chance))), ("psn_no", text("P1"))]), chance)
        }
        "2201" | "2401" => registration(chance),
        "2402" => {
            let stay = object([("mdtrt_id", text(number("M", chance)))]);
            if chance.one_in(2) { placed(stay, chance) } else { object([("dscginfo", stay)]) }
        }
        _ => object([("data", raw("[1,2,3]"))]),
    };
    let mut envelope = object([
        ("infno", maybe_number(kind, chance)),
        ("msgid", text(number("H31010000001202611220", chance))),
        ("mdtrtarea_admvs", maybe_number("310100", chance)),
        ("recer_sys_code", text("MBS_LOCAL")),
        ("cainfo", text("")),
        ("infver", text("V1.0")),
        ("opter_name", text(name(chance))),
        ("inf_time", text(time(chance))),
        ("fixmedins_code", text("H31010000001")),
        ("fixmedins_name", text(name(chance))),
        ("sign_no", raw("null")),
    ]);
    for (key, value) in [("opter_type", "1"), ("opter", "op42"), ("dev_no", "D-7")] {
        if !chance.one_in(5) {
            envelope.put(key, maybe_number(value, chance));
        }
    }
    extras(&mut envelope, chance);
    let input = if chance.one_in(5) { text(input.written(chance)) } else { input };
    envelope.put("input", input);
    envelope.stir(chance);
    envelope
}

fn settlement(chance: &mut Chance) -> Loose {
    let cardholder = number("3101", chance);
    let mut data = object([
        ("psn_no", maybe_number(&cardholder, chance)),
        ("psn_name", text(name(chance))),
        ("mdtrt_cert_type", text("02")),
        ("mdtrt_cert_no", text("31010119900101123X")),
        ("med_type", maybe_number(med_type(chance), chance)),
        ("medfee_sumamt", amount(chance)),
        ("psn_setlway", text("01")),
        ("invono", text("")),
    ]);
    if chance.one_in(2) {
        data.put("mdtrt_id", text(number("M", chance)));
    }
    if chance.one_in(3) {
        // A code, or what somebody wrote there.
        data.put("dise_codg", text(chance.pick(&["M07801", " M07801 ", "", "尿毒症"])));
    }
    extras(&mut data, chance);
    data
}

/// Under `data`, in a list there, or without that level.
fn placed(data: Loose, chance: &mut Chance) -> Loose {
    match chance.below(4) {
        0 => data,
        1 => object([("data", Loose::List(vec![data]))]),
        _ => object([("data", data)]),
    }
}

fn registration(chance: &mut Chance) -> Loose {
    let agent = match chance.below(4) {
        0 => object([("agnter_name", text("")), ("agnter_certno", text(""))]),
        1 => object([("agnter_name", text(name(chance)))]),
        _ => object([
            ("agnter_name", text(name(chance))),
            ("agnter_rlts", text("1")),
            ("agnter_cert_type", maybe_number(chance.pick(&["1", "01", "02"]), chance)),
            ("agnter_certno", text("31010119900101123x")),
            ("agnter_tel", text("13800000000")),
            ("agnter_addr", text(name(chance))),
            ("agnter_photo", text("/9j/4AAQ".repeat(chance.below(300)))),
        ]),
    };
    let mut visit = object([("psn_no", text("P1"))]);
    if chance.one_in(2) {
        visit.put("mdtrt_id", text(number("M", chance)));
    }
    match chance.below(4) {
        0 => object([("mdtrtinfo", visit), ("agnterinfo", agent)]),
        1 => object([("data", visit), ("agnterinfo", agent)]),
        2 => {
            visit.put("agnterinfo", agent);
            object([("data", visit)])
        }
        _ => {
            if let Loose::Object(entries) = agent {
                entries.into_iter().for_each(|(key, value)| visit.put(&key, value));
            }
            object([("data", visit)])
        }
    }
}

/// An answer that is to be understood, of whichever kind its request was.
pub(super) fn answer(chance: &mut Chance) -> Loose {
    let went_through = !chance.one_in(6);
    let request = text(number("H31010000001202611220", chance));
    let mut info = object([
        ("setl_id", text(number("310000", chance))),
        ("mdtrt_id", text(number("M", chance))),
        ("medins_setl_id", request.clone()),
        ("psn_name", text(name(chance))),
        ("medfee_sumamt", amount(chance)),
    ]);
    if chance.one_in(2) {
        info.put("acct_mulaid_pay", amount(chance));
    }
    extras(&mut info, chance);
    let output = match chance.below(4) {
        0 => info,
        1 => object([("setlinfo", info.clone()), ("result", info)]),
        2 => object([("data", object([("setlinfo", info.clone()), ("mdtrtinfo", info)]))]),
        _ => object([("data", info)]),
    };
    let output = if chance.one_in(4) { text(output.written(chance)) } else { output };
    let code = match (went_through, chance.below(3)) {
        (true, 0) => raw(0),
        (true, _) => maybe_number("0", chance),
        (false, 0) => raw(-1),
        (false, _) => text("-1"),
    };
    let mut envelope = object([
        ("infcode", code),
        ("inf_refmsgid", request),
        ("refmsg_time", text(time(chance))),
        ("respond_time", text(time(chance))),
        ("err_msg", text(name(chance))),
        ("output", output),
    ]);
    extras(&mut envelope, chance);
    envelope.stir(chance);
    envelope
}
