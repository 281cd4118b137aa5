use drua_api::models::{ContainerSummary, PortSummary, PortSummaryTypeEnum};

use crate::commands::{ps_ports, ps_row};
use crate::format::{Format, Listing, Row, Style, align, natural_order, restyle};

#[test]
fn tables_are_laid_out_as_dockers() {
    let lines = ["DRIVER\tVOLUME NAME", "local\tzeta"].map(str::to_owned);
    assert_eq!(align(&lines), "DRIVER    VOLUME NAME\nlocal     zeta\n");
    let lines = ["A LONG HEADING\tB\tC", "x\ta long cell here\t", "ü\t\tz"].map(str::to_owned);
    insta::assert_snapshot!(align(&lines).replace(' ', "·"), @r"
    A·LONG·HEADING···B··················C
    x················a·long·cell·here···
    ü···································z
    ");
}

const LISTING: Listing =
    Listing { headings: &[("Name", "NAME"), ("Size", "SIZE"), ("Labels", "LABELS")], default: "{{.Name}}\t{{.Size}}" };

fn listing(format: Option<&str>) -> String {
    let labels = [("com.x.a-b".to_owned(), "1".to_owned())];
    let labels = labels.iter().map(|(key, value)| (key, value));
    let rows = [Row::new().with("Name", "web<1>").with("Size", "4MB").with_labels(labels)];
    let format = Format::parse(format, LISTING.default).expect("a valid format");
    LISTING.render(&rows, &format).expect("known fields")
}

#[test]
fn listings_have_tables_json_and_templates() {
    assert_eq!(listing(None), "NAME      SIZE\nweb<1>    4MB\n");
    assert_eq!(listing(Some("table")), listing(None));
    assert_eq!(listing(Some("{{.Name}}!")), "web<1>!\n");
    assert_eq!(listing(Some(r"table {{.Size}}\t{{json .Name}}")), "SIZE      NAME\n4MB       \"web<1>\"\n");
    assert_eq!(listing(Some("table {{.Label \"com.x.a-b\"}}\t{{upper .Name}}")), "a b       NAME\n1         WEB<1>\n");
    let json = "{\"Labels\":\"com.x.a-b=1\",\"Name\":\"web\\u003c1\\u003e\",\"Size\":\"4MB\"}\n";
    assert_eq!((listing(Some("json")), listing(Some("{{json .}}"))), (json.to_owned(), json.to_owned()));
}

#[test]
fn json_is_indented_and_otherwise_left_alone() {
    let raw = r#"[ {"b":1.50,"a":"x , {\"\\" , "e":{ },"l":[ ],"n":[null,true]}]"#;
    insta::assert_snapshot!(restyle(raw, Style::Indented { depth: 0 }), @r#"
    [
        {
            "b": 1.50,
            "a": "x , {\"\\",
            "e": {},
            "l": [],
            "n": [
                null,
                true
            ]
        }
    ]
    "#);
    assert_eq!(restyle(raw, Style::Compact), r#"[{"b":1.50,"a":"x , {\"\\","e":{},"l":[],"n":[null,true]}]"#);
}

fn port(ip: &str, private: u16, public: u16, kind: PortSummaryTypeEnum) -> PortSummary {
    PortSummary {
        ip: (!ip.is_empty()).then(|| ip.to_owned()),
        private_port: private,
        public_port: (public != 0).then_some(public),
        typ: Some(kind),
    }
}

#[test]
fn ports_are_grouped_as_docker_groups_them() {
    use PortSummaryTypeEnum::{TCP, UDP};
    let ports = [
        port("0.0.0.0", 80, 8080, TCP),
        port("::", 80, 8080, TCP),
        port("", 443, 0, TCP),
        port("0.0.0.0", 9000, 9000, TCP),
        port("0.0.0.0", 9001, 9001, TCP),
        port("", 53, 0, UDP),
        port("", 54, 0, UDP),
        port("", 65535, 0, UDP),
    ];
    assert_eq!(
        ps_ports(&ports),
        "53-54/udp, 65535/udp, 443/tcp, 0.0.0.0:9000-9001->9000-9001/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    );
}

#[test]
fn a_container_that_says_nothing_has_a_row() {
    let row = ps_row(&ContainerSummary::default(), false);
    let listing = Listing { headings: &[], default: "" };
    let format =
        Format::parse(Some("{{.ID}}|{{.Image}}|{{.Command}}|{{.Names}}|{{.Ports}}|{{.Size}}"), "").expect("valid");
    assert_eq!(listing.render(&[row], &format).expect("known fields"), "|<no image>|\"\"|||0B\n");
}

#[test]
fn names_are_sorted_by_their_numbers() {
    let mut names = ["web10", "web2", "a", "web02", "web", "9", "10"];
    names.sort_by(|a, b| natural_order(a, b));
    assert_eq!(names, ["9", "10", "a", "web", "web2", "web02", "web10"]);
}
