use proptest::prelude::*;

use crate::format::{Json, Mode, Template};

fn data() -> Json {
    serde_json::from_str(
        r#"{"Name":"/web","Pid":42,"Running":true,"Entrypoint":null,"Env":["A=1","B=<x>&"],"Empty":[],
            "Labels":{"b":"2","a":"1"},"Networks":{"z":{"IP":"1.1.1.1"},"bridge":{"IP":"172.17.0.2"}},
            "Ports":{"80/tcp":[{"HostPort":"8080"}]}}"#,
    )
    .expect("valid JSON")
}

fn render(template: &str) -> Result<String, String> {
    let method = |name: &str, args: &[Json]| match (name, args) {
        ("Label", [Json::String(key)]) => Some(format!("label {key}").into()),
        _ => None,
    };
    let template = Template::parse(template).map_err(|error| error.to_string())?;
    template.render(&data(), Mode::Values, &method).map_err(|error| error.to_string())
}

#[track_caller]
fn check(template: &str, expect: &str) {
    assert_eq!(render(template).as_deref(), Ok(expect), "{template}");
}

#[track_caller]
fn fails(template: &str, expect: &str) {
    let error = render(template).expect_err(template);
    assert!(error.contains(expect), "{template}: {error}");
}

#[test]
fn values_print_as_in_go() {
    check("{{.Name}} {{.Pid}} {{.Running}}", "/web 42 true");
    check("{{.Env}} {{.Labels}} {{.Entrypoint}}", "[A=1 B=<x>&] map[a:1 b:2] <nil>");
    check("{{ .Networks.bridge.IP }}", "172.17.0.2");
    check("a{{`raw`}}b{{\"q\\t\"}}c{{3}}{{true}}", "arawbq\tc3true");
    check(r"{{.Name}}\t{{.Pid}}\n", "/web\t42\n");
    check("no action", "no action");
}

#[test]
fn functions() {
    check("{{json .Labels}} {{json .Name}} {{json .Env}}", r#"{"b":"2","a":"1"} "/web" ["A=1","B=<x>&"]"#);
    check("{{upper .Name}} {{lower \"AbC\"}} {{title \"a bc\"}}", "/WEB abc A Bc");
    check("{{.Name | upper | json}}", "\"/WEB\"");
    check("{{join .Env \"+\"}} {{split \"a,b\" \",\"}} {{len .Env}} {{len .Name}}", "A=1+B=<x>& [a b] 2 4");
    check("{{index .Env 1}} {{index .Labels \"a\"}} {{(index (index .Ports \"80/tcp\") 0).HostPort}}", "B=<x>& 1 8080");
    check("{{slice .Name 1 3}} {{truncate .Name 2}}|{{pad \"x\" 1 2}}|", "we /w| x  |");
    check("{{printf \"%s-%d|%-4s|%4s|%q|%%\" .Name .Pid \"a\" \"b\" \"c\"}}", "/web-42|a   |   b|\"c\"|%");
    check("{{println .Name}}{{print 1 2}}", "/web\n1 2");
    check("{{.Label \"x\"}}", "label x");
    check("{{eq .Pid 42}} {{ne .Name \"x\"}} {{lt 1 2}} {{ge 1 2}} {{not .Empty}}", "true true true false true");
    check("{{and .Running .Pid}} {{or .Empty .Name}} {{eq 1 2 1}}", "42 /web true");
}

#[test]
fn blocks() {
    check("{{if .Running}}yes{{else}}no{{end}}", "yes");
    check("{{if .Empty}}a{{else if .Running}}b{{else}}c{{end}}", "b");
    check("{{if .Empty}}a{{else if .Entrypoint}}b{{else}}c{{end}}", "c");
    check("{{range .Env}}<{{.}}>{{end}}", "<A=1><B=<x>&>");
    check("{{range $i, $e := .Env}}{{if $i}}, {{end}}{{$i}}={{$e}}{{end}}", "0=A=1, 1=B=<x>&");
    check(
        "{{range $k, $v := .Networks}}{{$k}}:{{$v.IP}}:{{.IP}} {{end}}",
        "bridge:172.17.0.2:172.17.0.2 z:1.1.1.1:1.1.1.1 ",
    );
    check("{{range .Empty}}x{{else}}none{{end}}{{range .Entrypoint}}x{{end}}", "none");
    check("{{with .Labels}}{{.a}}{{$.Name}}{{end}}{{with .Empty}}x{{else}}e{{end}}", "1/webe");
    check("{{$x := .Pid}}{{$x}}{{$x = 1}}{{$x}}", "421");
    check("a {{- .Name -}} b{{/* comment */}}{{- /* c */ -}} c", "a/webbc");
}

#[test]
fn mistakes_are_explained() {
    fails("{{.Nope}}", "there is no field `.Nope`; there is `.Name`, `.Pid`");
    fails("{{.Name.x}}", "it is no object");
    fails("{{.Name", "`}}` is missing");
    fails("{{}}", "missing value");
    fails("{{nope .Name}}", "function `nope` is not defined");
    fails("{{upper}}", "wrong arguments for `upper`");
    fails("{{if .Name}}x", "not closed");
    fails("{{end}}", "unexpected `{{end}}`");
    fails("{{index .Env 7}}", "out of range");
    fails("{{$x}}", "undefined variable `$x`");
    fails("{{\"x}}", "unterminated string");
    fails("{{(.Name}}", "`(` is not closed");
    fails("{{define \"x\"}}{{end}}", "not supported");
    fails(&"{{if true}}".repeat(100), "too deeply");
    fails(&format!("{{{{{}}}}}", "(".repeat(100)), "too deeply");
}

proptest! {
    #[test]
    fn arbitrary_templates_never_panic(text in "(\\{\\{|\\}\\}|-|\\.[A-Za-z]{0,4}|\\$x?|\"|`|if |range |end|else|json |[(|):=, ]|[a-z0-9é]){0,25}") {
        let _ = render(&text);
    }
}
