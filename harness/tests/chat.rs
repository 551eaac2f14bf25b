//! Chat templates of the model families, as transformers would render them, and hostile ones.

use bitbench::chat::{Message, render_template};

fn system() -> Message<'static> {
    Message::system("Be brief.")
}

fn user() -> Message<'static> {
    Message::user("Who are you? ")
}

fn rendered(template: &str, messages: &[Message<'_>]) -> String {
    render_template(template, messages, Some("<s>"), Some("</s>")).expect("it renders")
}

fn refused(template: &str) -> String {
    let error = render_template(template, &[user()], None, None).expect_err("it is refused");
    let text = error.to_string();
    assert!(text.len() < 1000 && !text.contains('\n'), "{text}");
    text
}

#[test]
fn chat_ml_with_a_default_for_the_system() {
    let template = "{% for message in messages %}\n\
        {% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nHelp.<|im_end|>\n' }}{% endif %}\n\
        {{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}\n\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    assert_eq!(
        rendered(template, &[user()]),
        "<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\nWho are you? <|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(
        rendered(template, &[system(), user()]),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho are you? <|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn llama_3_with_bos_in_the_first_message() {
    let template = "{% set loop_messages = messages %}{% for message in loop_messages %}\
        {% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}\
        {% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
    assert_eq!(
        rendered(template, &[system(), user()]),
        "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nWho are you?<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n"
    );
}

#[test]
fn bitnet_2b4t_with_names_of_roles() {
    let template = "{% for message in messages %}\
        {{ message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}\
        {% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}";
    assert_eq!(
        rendered(template, &[system(), user()]),
        "System: Be brief.<|eot_id|>User: Who are you?<|eot_id|>Assistant: "
    );
}

#[test]
fn blocks_take_their_line_and_methods_are_those_of_python() {
    let template = "{%- set ns = namespace(found=false) %}\n\
        {%- for message in messages %}\n    {%- if message.role == 'system' %}{% set ns.found = true %}{% continue %}{% endif %}\n\
        {{ message.content.strip().upper().split(' ')[-1] }}\n    {% if not loop.last %}\n, \n    {% endif %}\n{% endfor %}\n\
        {{ ns.found }} {{ tools is defined }} {{ {'a': [1, 'b']} | tojson }} {{ eos_token.startswith('<') }}\n";
    assert_eq!(
        rendered(template, &[system(), user()]),
        "YOU?\nTrue False {\"a\": [1, \"b\"]} True"
    );
}

#[test]
fn what_a_template_refuses_is_said() {
    let text = refused("{{ raise_exception('no\\nsystem') }}");
    assert!(text.contains("no system"), "{text}");
    for template in [
        "{% if %}",
        "{{ messages[0].content.nothing() }}",
        "{% include 'other' %}",
        "{{ undefined_function() }}",
        "{% generation %}{% endgeneration %}",
    ] {
        refused(template);
    }
    refused(&" ".repeat((1 << 20) + 1));
}

#[test]
fn hostile_templates_run_out_of_fuel() {
    let doubled = format!(
        "{{% set x = 'x' * 1000 %}}{}",
        "{% set x = x ~ x %}".repeat(60)
    );
    let joined = format!(
        "{{% set x = 'x' * 1000 %}}{}",
        "{% set x = [x, x] | join %}".repeat(60)
    );
    let replaced = format!(
        "{{% set x = 'xx' %}}{}",
        "{% set x = x.replace('x', 'xxxx') %}".repeat(60)
    );
    let nested = "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}x{% endfor %}{% endfor %}{% endfor %}";
    let macros = "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}";
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let blocks = "{% if 1 %}".repeat(100_000);
    for template in [
        &doubled,
        &joined,
        &replaced,
        nested,
        macros,
        &format!("{{{{ {deep} }}}}"),
        &blocks,
        "{{ 'x' * 1000000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ range(1000000000) | list }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ ('x' * 100000) | indent(100000) }}{{ ('\n' * 100000) | indent(100000) }}",
    ] {
        let text = refused(template);
        println!("{text}");
    }
}

#[test]
fn a_template_that_takes_for_ever_is_left_behind() {
    // A list of lists of lists is stored as such, until it is so deep that all 2^33 elements are gathered.
    let doubled = "{% set x = x + x %}".repeat(34);
    let text = refused(&format!("{{% set x = [1] %}}{doubled}"));
    assert!(text.contains("did not end"), "{text}");
}
