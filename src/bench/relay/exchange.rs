//! What a HIS and its platform say to each other, made from a number: both ends make the
//! same bytes from it, and so each can compare what it got with what was sent.
//!
//! The mix is a hospital's: one message in sixteen is one of those that an agent gets a
//! copy of, the others are the rest of the day (look-ups, lists of charges). Sizes,
//! codings and errors are as untidy as servers are. The copies' kind of care is
//! in-patients': the agent journals and ends them, and looks for no face.

use std::io::Write;

use crate::bench::chance::Chance;
use crate::bench::wire::Exchange;

/// In how many messages one is for the agent.
const ONE_FOR_THE_AGENT: usize = 16;
const OTHERS: [&str; 8] = ["1101", "1312", "2001", "2202", "2203A", "2204", "2206", "5301"];
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

/// What may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    /// Nothing that waits of its own accord, and no connection that ends: for timing.
    Steady,
    /// Slow bodies too, interim answers, and answers that end with their connection.
    Everything,
}

/// Text of so many characters that need no escape in JSON.
fn fill(chance: &mut Chance, length: usize, out: &mut Vec<u8>) {
    for _ in 0..length.div_ceil(10) {
        let bits = chance.bits();
        out.extend((0..10).map(|i| LETTERS[(bits >> (6 * i) & 63) as usize]));
    }
}

/// How long a body's filling is: mostly short, seldom a list, now and then a photograph.
fn length(chance: &mut Chance) -> usize {
    let (from, to) = match chance.below(1000) {
        0..700 => (100, 1_000),
        700..950 => (1_000, 6_000),
        950..998 => (6_000, 30_000),
        _ => (60_000, 250_000),
    };
    from + chance.below(to - from)
}

/// The exchange of a number, and how many copies of it the agent is to get.
pub(super) fn exchange(n: u64, mix: Mix) -> (Exchange, u64) {
    let mut chance = Chance::new(n ^ 0x5EED_0007);
    let for_agent = chance.one_in(ONE_FOR_THE_AGENT);
    let (request, answer, copies) =
        if for_agent { for_the_agent(n, &mut chance) } else { other(n, &mut chance) };
    let everything = mix == Mix::Everything;
    let mut made = Exchange {
        request: Vec::with_capacity(request.len() + 300),
        answer: Vec::with_capacity(answer.len() + 300),
        request_pieces: if everything && chance.one_in(400) { 4 } else { 1 },
        answer_pieces: if everything && chance.one_in(400) { 5 } else { 1 },
        is_last: everything && chance.one_in(25),
        ..Exchange::default()
    };
    // Writing to a Vec cannot fail.
    let _ = write_request(n, &request, &mut chance, &mut made.request);
    if everything && chance.one_in(200) {
        made.answer.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let _ = write_answer(&answer, for_agent, made.is_last, &mut chance, &mut made.answer);
    (made, copies)
}

fn for_the_agent(n: u64, chance: &mut Chance) -> (Vec<u8>, Vec<u8>, u64) {
    let kind = chance.pick(&["2207", "2207", "2207", "2304", "2208", "2305", "2201", "2401", "2402"]);
    let (stay, settled) = (format!("M-{n:x}"), format!("310000{n:016}"));
    let input = match kind {
        "2208" | "2305" => format!(r#"{{"data":{{"setl_id":"310000{:016}","psn_no":"P{n}"}}}}"#, n / 2),
        "2201" | "2401" => format!(
            r#"{{"mdtrtinfo":{{"psn_no":"P{n}"}},"agnterinfo":{{"agnter_name":"","agnter_certno":"","agnter_photo":""}}}}"#
        ),
        "2402" => format!(r#"{{"dscginfo":{{"mdtrt_id":"M-{:x}"}}}}"#, n / 2),
        _ => format!(
            r#"{{"data":{{"psn_no":"P{n}","med_type":"21","medfee_sumamt":"{}.{:02}","mdtrt_id":"{stay}","psn_setlway":"01","insutype":"310"}}}}"#,
            1 + n % 9000,
            n % 100
        ),
    };
    let request = format!(
        r#"{{"infno":"{kind}","msgid":"H00000000001RELAY{n:013}","dev_no":"D-1","opter":"op42","opter_type":"1","inf_time":"2026-11-23 09:10:15","sign_no":"","input":{input}}}"#
    );
    let (output, copies) = match kind {
        "2207" | "2304" if chance.one_in(20) => {
            let answer = format!(r#"{{"infcode":-1,"inf_refmsgid":"{n}","err_msg":"no"}}"#);
            return (request.into_bytes(), answer.into_bytes(), 2);
        }
        "2207" | "2304" => (format!(r#"{{"setlinfo":{{"setl_id":"{settled}","acct_mulaid_pay":0}}}}"#), 2),
        "2201" | "2401" => (format!(r#"{{"data":{{"mdtrt_id":"{stay}"}}}}"#), 2),
        _ => ("{}".to_owned(), 1),
    };
    let answer = format!(r#"{{"infcode":"0","inf_refmsgid":"{n}","output":{output}}}"#);
    (request.into_bytes(), answer.into_bytes(), copies)
}

fn other(n: u64, chance: &mut Chance) -> (Vec<u8>, Vec<u8>, u64) {
    let kind = chance.pick(&OTHERS);
    let mut bodies = [Vec::new(), Vec::new()];
    for body in &mut bodies {
        let _ = match chance.below(20) {
            // Not every system on such a network speaks JSON.
            0 => write!(body, "<request n='{n}'>"),
            _ => write!(body, r#"{{"infno":"{kind}","msgid":"O{n}","input":{{"data":""#),
        };
        let is_json = body.starts_with(b"{");
        let length = length(chance);
        fill(chance, length, body);
        body.extend_from_slice(if is_json { b"\"}}" } else { b"</request>" });
    }
    let [request, answer] = bodies;
    (request, answer, 0)
}

fn write_request(n: u64, body: &[u8], chance: &mut Chance, out: &mut Vec<u8>) -> std::io::Result<()> {
    write!(out, "POST /fsi/api/{n:x} HTTP/1.1\r\n")?;
    // As clients write it, and as nobody would write it anew.
    out.extend_from_slice(match chance.below(4) {
        0 => b"hOST:  platform\r\nX-Odd:\t1 \r\n".as_slice(),
        1 => b"Host: platform\r\nUser-Agent: HIS/7.2 (\xbb\xe1)\r\nAccept: */*\r\n",
        _ => b"Host: platform\r\nContent-Type: application/json; charset=utf-8\r\n",
    });
    if chance.one_in(10) { write_chunked(body, chance, out) } else { write_whole(body, out) }
}

fn write_answer(
    body: &[u8],
    for_agent: bool,
    is_last: bool,
    chance: &mut Chance,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    let status = match chance.below(40) {
        0 if !for_agent => "500 Internal Server Error",
        1 if !for_agent => "502 Bad Gateway",
        2 if !for_agent => "404 ",
        3 if !for_agent => "429 Too Many Requests",
        _ => "200 OK",
    };
    write!(out, "HTTP/1.1 {status}\r\nServer: platform\r\n")?;
    if is_last {
        out.extend_from_slice(b"Connection: close\r\n\r\n");
        out.extend_from_slice(body);
        return Ok(());
    }
    if chance.one_in(4) { write_chunked(body, chance, out) } else { write_whole(body, out) }
}

fn write_whole(body: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    write!(out, "Content-Length: {}\r\n\r\n", body.len())?;
    out.write_all(body)
}

fn write_chunked(body: &[u8], chance: &mut Chance, out: &mut Vec<u8>) -> std::io::Result<()> {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    let mut rest = body;
    while !rest.is_empty() {
        let most = chance.below(4000) + 1;
        let (piece, after) = rest.split_at(most.min(rest.len()));
        write!(out, "{:X}{}\r\n", piece.len(), if most.is_multiple_of(3) { ";a=b" } else { "" })?;
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out.extend_from_slice(if chance.one_in(3) { b"0\r\nX-Sum: 1\r\n\r\n".as_slice() } else { b"0\r\n\r\n" });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gives_one_exchange_and_the_mix_has_everything() {
        let (mut all, mut last, mut slow) = (0, 0, 0);
        for n in 0..4000 {
            let (made, copies) = exchange(n, Mix::Everything);
            assert!(made == exchange(n, Mix::Everything).0, "{n}");
            assert!(made.request.starts_with(format!("POST /fsi/api/{n:x} HTTP").as_bytes()));
            all += copies;
            last += u64::from(made.is_last);
            slow += u64::from(made.answer_pieces > 1);
            let (steady, _) = exchange(n, Mix::Steady);
            assert!(!steady.is_last && steady.request_pieces == 1 && steady.answer_pieces == 1);
        }
        assert!((300..600).contains(&all) && last > 50 && slow > 3, "{all} {last} {slow}");
    }
}
