/*
 * qmp.c: tests of what needs no QEMU: QMP's answers and quoting
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <glib.h>

#include "doubles/libvirt.h"
#include "stock/error.h"
#include "stock/qmp.h"
#include "stock/symbols.h"

static void
test_replies(void)
{
    static const struct {
        const char *reply;
        int code; /* -1: a success */
        const char *message;
    } cases[] = {
        {"{\"return\": {}}", -1, NULL},
        {"{\"return\": {}, \"id\": \"libvirt-7\"}", -1, NULL},
        {"{\"return\": []}", -1, NULL},
        {"{\"return\": \"\"}", -1, NULL},
        {"{\"return\": {\"error\": {\"class\": \"x\"}}}", -1, NULL},
        {"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such\"}}", QMP_ERROR_COMMAND,
         "CommandNotFound: no such"},
        {"{\"error\": {\"desc\": \"100% gone\"}}", QMP_ERROR_COMMAND, "GenericError: 100% gone"},
        {"{\"error\": {\"class\": \"GenericError\"}}", QMP_ERROR_COMMAND, NULL},
        {"{\"error\": {}}", QMP_ERROR_COMMAND, NULL},
        {"{\"event\": \"STOP\"}", QMP_ERROR_REPLY, NULL},
        {"{}", QMP_ERROR_REPLY, NULL},
        {"[]", QMP_ERROR_REPLY, NULL},
        {"\"return\"", QMP_ERROR_REPLY, NULL},
        {"return", QMP_ERROR_REPLY, NULL},
        {"", QMP_ERROR_REPLY, NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gboolean ok = qmp_parse_reply(cases[i].reply, &error);

        g_test_message("%s", cases[i].reply);
        g_assert_cmpint(ok, ==, cases[i].code < 0);
        if (ok) {
            g_assert_no_error(error);
            continue;
        }
        g_assert_error(error, QMP_ERROR, cases[i].code);
        if (cases[i].message)
            g_assert_cmpstr(error->message, ==, cases[i].message);
    }
}

/* An answer cut short is never taken for one, nor for a refusal. */
static void
test_truncated(void)
{
    static const char *const replies[] = {
        "{\"return\": {\"status\": \"postcopy-paused\", \"ram\": {\"total\": 1}}, \"id\": \"l-1\"}",
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"a \\\"b\\\" c\"}, \"id\": \"l-2\"}",
    };

    for (guint i = 0; i < G_N_ELEMENTS(replies); i++) {
        for (gsize length = 0; length < strlen(replies[i]); length++) {
            g_autofree char *cut = g_strndup(replies[i], length);
            g_autoptr(GError) error = NULL;

            g_assert_false(qmp_parse_reply(cut, &error));
            g_assert_error(error, QMP_ERROR, QMP_ERROR_REPLY);
            g_assert_null(qmp_reply_string(cut, "status"));
        }
    }
    g_assert_null(virGetLastError());
}

static void
test_strings(void)
{
    static const struct {
        const char *reply;
        const char *status;
    } cases[] = {
        {"{\"return\": {\"status\": \"active\"}}", "active"},
        {"{\"return\": {\"blocked\": {\"status\": \"no\"}, \"status\": \"postcopy-paused\"}}",
         "postcopy-paused"},
        {"{\"return\": {\"blocked\": {\"status\": \"no\"}}}", NULL},
        {"{\"status\": \"no\", \"return\": {}}", NULL},
        {"{\"return\": {\"status\": 7}}", NULL},
        {"{\"return\": {\"status\": {\"status\": \"no\"}}}", NULL},
        {"{\"return\": []}", NULL},
        {"{\"return\": \"status\"}", NULL},
        {"{\"error\": {\"status\": \"no\"}}", NULL},
        {"[{\"return\": {\"status\": \"no\"}}]", NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *status = qmp_reply_string(cases[i].reply, "status");

        g_test_message("%s", cases[i].reply);
        g_assert_cmpstr(status, ==, cases[i].status);
    }
}

static void
test_numbers(void)
{
    static const struct {
        const char *reply;
        gboolean found;
        guint64 value;
        gboolean itself; /* no object within */
    } cases[] = {
        {"{\"return\": {\"remaining\": 7}}", TRUE, 7, TRUE},
        {"{\"return\": {\"ram\": {\"remaining\": 7}}}", FALSE, 0, TRUE},
        {"{\"return\": 7}", FALSE, 0, TRUE},
        {"{\"return\": {\"ram\": {\"remaining\": 0}}}", TRUE, 0},
        {"{\"return\": {\"ram\": {\"remaining\": 18446744073709551615}}}", TRUE, G_MAXUINT64},
        {"{\"return\": {\"ram\": {\"remaining\": \"x\"}}}", FALSE, 0},
        {"{\"return\": {\"ram\": {\"total\": 7}}}", FALSE, 0},
        {"{\"return\": {\"ram\": 7}}", FALSE, 0},
        {"{\"return\": {\"remaining\": 7}}", FALSE, 0},
        {"{\"ram\": {\"remaining\": 7}}", FALSE, 0},
        {"{\"error\": {\"class\": \"GenericError\"}}", FALSE, 0},
        {"nothing", FALSE, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const char *object = cases[i].itself ? NULL : "ram";
        guint64 value = 42;

        g_test_message("%s", cases[i].reply);
        g_assert_cmpint(qmp_reply_number(cases[i].reply, object, "remaining", &value), ==,
                        cases[i].found);
        g_assert_cmpuint(value, ==, cases[i].found ? cases[i].value : 42);
    }
}

/* Whatever the text: the literal is one JSON string, and reads back as the text. */
static void
test_quote(void)
{
    static const char *const texts[] = {
        "",
        "plain",
        "a \"b\" \\c\\",
        "tcp:[::]:49152",
        "\n\r\t\b\f\x01\x1f",
        "\303\251",
        "\360\237\246",
        "cut off \303",
        "\", \"x\": \"",
        "\x7f",
        "\360\237\230\200",
        "\357\277\274",
        "\364\217\277\275",
    };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *quoted = qmp_quote(texts[i]);
        g_autofree char *reply = g_strdup_printf("{\"return\": {\"x\": %s}}", quoted);
        g_autofree char *back = qmp_reply_string(reply, "x");
        g_autofree char *valid = g_utf8_make_valid(texts[i], -1);

        g_test_message("%s", quoted);
        g_assert_cmpstr(back, ==, valid);
        g_assert_true(g_str_is_ascii(quoted));
    }
}

/* QEMU refuses the line that has one, and its refusal names no command. */
static void
test_noncharacters(void)
{
    static const gunichar noncharacters[] = {0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF};
    static const gunichar beside[] = {0xFDCF, 0xFDF0, 0xFFFD, 0x1FFFD, 0x10FFFD};
    char text[7] = "";

    for (guint i = 0; i < G_N_ELEMENTS(noncharacters); i++) {
        g_autofree char *quoted = NULL;

        text[g_unichar_to_utf8(noncharacters[i], text)] = '\0';
        quoted = qmp_quote(text);
        g_assert_cmpstr(quoted, ==, "\"\\ufffd\"");
    }
    for (guint i = 0; i < G_N_ELEMENTS(beside); i++) {
        g_autofree char *quoted = NULL;
        g_autofree char *reply = NULL;
        g_autofree char *back = NULL;

        text[g_unichar_to_utf8(beside[i], text)] = '\0';
        quoted = qmp_quote(text);
        reply = g_strdup_printf("{\"return\": {\"x\": %s}}", quoted);
        back = qmp_reply_string(reply, "x");
        g_assert_cmpstr(back, ==, text);
    }
}

/* A private function that is gone is named. */
static void
test_symbols(void)
{
    g_autoptr(GError) error = NULL;
    gpointer handle = dlopen("libvirt.so.0", RTLD_NOW);

    g_assert_nonnull(handle);
    g_assert_false(symbols_load(handle, &error));
    g_assert_nonnull(strstr(error->message, "qemuDomainObjFromDomain"));
}

static void
test_errors(void)
{
    virErrorPtr saved;

    stock_error_raise(VIR_ERR_OPERATION_INVALID, "%s %d", "100%", 1);
    g_assert_cmpint(virGetLastErrorCode(), ==, VIR_ERR_OPERATION_INVALID);
    g_assert_cmpint(virGetLastErrorDomain(), ==, VIR_FROM_QEMU);
    g_assert_cmpstr(virGetLastErrorMessage(), ==, "Requested operation is not valid: 100% 1");

    saved = stock_error_save();
    virResetLastError();
    stock_error_restore(saved);
    g_assert_cmpint(virGetLastErrorCode(), ==, VIR_ERR_OPERATION_INVALID);

    virResetLastError();
    saved = stock_error_save();
    stock_error_raise(VIR_ERR_NO_DOMAIN, "gone");
    stock_error_restore(saved);
    g_assert_null(virGetLastError());
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/qmp/replies", test_replies);
    g_test_add_func("/qmp/truncated", test_truncated);
    g_test_add_func("/qmp/strings", test_strings);
    g_test_add_func("/qmp/numbers", test_numbers);
    g_test_add_func("/qmp/quote", test_quote);
    g_test_add_func("/qmp/noncharacters", test_noncharacters);
    g_test_add_func("/symbols/missing", test_symbols);
    g_test_add_func("/error/save", test_errors);
    return g_test_run();
}
