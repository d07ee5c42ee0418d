/*
 * table.c: our copy of the stock QEMU driver's function table
 *
 * How it works. libvirt offers a connection to the registered drivers in order, and ours is
 * registered first (src/libvirt.c, virConnectOpenInternal). The stock table is static in its
 * module, but a connection points to it: so the first open makes a nested one for the same URI,
 * which our connectOpen declines because this thread is marked, and reads the table from the
 * connection that the stock driver then served. Two threads may do that at the same time; the first
 * to come back installs the copy. No lock is held across a call into libvirt.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/table.h"

#include <dlfcn.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "stock/error.h"
#include "stock/symbols.h"

/* virDrvOpenStatus, src/driver.h. */
enum {
    OPEN_SUCCESS = 0,
    OPEN_DECLINED = -1,
};

/* struct _virConnectDriver, src/driver.h: the same in libvirt 9.0.0 and 11.3.0. */
typedef struct {
    bool local_only;
    bool remote_only;
    bool embeddable;
    const char **uri_schemes;
    gpointer *hypervisor;
    gpointer others[6]; /* libvirt fills in its shared interface, network, ... drivers */
} ConnectDriver;

static const char *uri_schemes[] = {"qemu", NULL};
static ConnectDriver connect_driver = {
    .local_only = true,
    .uri_schemes = uri_schemes,
};

static struct {
    const AbiRow *row;
    gpointer stock_base; /* where the stock module is mapped */
    TableOverride *overrides;
    gsize n_overrides;
    gpointer *ours;  /* row->table_slots pointers; connections point here for good */
    gpointer *stock; /* atomic; libvirt's own table, NULL until the first connection */
    GMutex install_lock;
    int retired; /* atomic */
} table;

/* Whether this thread is in the nested open. */
static _Thread_local bool nested;

static gpointer
driver_of(virConnectPtr conn)
{
    gpointer driver;

    memcpy(&driver, (const char *)conn + table.row->connect_driver, sizeof(driver));
    return driver;
}

/* A distribution may have patched the table: believe it only if it looks as its row says. */
static gboolean
looks_right(gpointer *stock)
{
    Dl_info info;

    if (!stock || stock == table.ours || g_strcmp0(stock[0], "QEMU") != 0)
        return FALSE;
    for (guint i = 1; i < table.row->table_slots; i++) {
        if (stock[i] && (!dladdr(stock[i], &info) || info.dli_fbase != table.stock_base))
            return FALSE;
    }
    return stock[table.row->slot[SLOT_connectOpen]] && stock[table.row->slot[SLOT_connectClose]];
}

static gpointer *
find_stock(const char *uri)
{
    gpointer *stock = NULL;
    virConnectPtr inner;

    nested = true;
    inner = virConnectOpenReadOnly(uri);
    nested = false;
    if (!inner) {
        g_info("the stock driver takes no connection to %s yet, leaving this one to it: %s", uri,
               virGetLastErrorMessage());
        return NULL;
    }
    stock = driver_of(inner);
    if (!looks_right(stock)) {
        table_retire();
        g_warning("the stock driver's table is not that of libvirt %s, leaving all connections to "
                  "it; install a Holdfast made for this libvirt",
                  table.row->name);
        stock = NULL;
    }
    virConnectClose(inner);
    return stock;
}

/* Slots that libvirt reads of drivers whose connections are not open yet keep their values. */
static void
install(gpointer *stock)
{
    const AbiRow *row = table.row;

    g_mutex_lock(&table.install_lock);
    if (!g_atomic_pointer_get(&table.stock)) {
        for (guint i = 1; i < row->table_slots; i++) {
            if (i != row->slot[SLOT_connectOpen])
                table.ours[i] = stock[i];
        }
        for (gsize i = 0; i < table.n_overrides; i++)
            table.ours[row->slot[table.overrides[i].slot]] = table.overrides[i].function;
        g_atomic_pointer_set(&table.stock, stock);
    }
    g_mutex_unlock(&table.install_lock);
}

static gboolean
ready(virConnectPtr conn)
{
    g_autofree char *uri = NULL;
    gpointer *stock;
    virErrorPtr saved;

    if (g_atomic_pointer_get(&table.stock))
        return TRUE;
    /* Where the connection's driver is not our table the row is wrong: read nothing more. */
    if (driver_of(conn) != table.ours)
        return FALSE;
    saved = stock_error_save();
    uri = virConnectGetURI(conn);
    stock = uri ? find_stock(uri) : NULL;
    stock_error_restore(saved);
    if (stock)
        install(stock);
    return stock != NULL;
}

static int
connect_open(virConnectPtr conn, virConnectAuthPtr auth, void *conf, unsigned int flags)
{
    if (nested || g_atomic_int_get(&table.retired) || !ready(conn))
        return OPEN_DECLINED;
    return TABLE_STOCK(connectOpen)(conn, auth, conf, flags);
}

gboolean
table_register(const AbiRow *row,
               gpointer stock,
               const TableOverride *overrides,
               gsize n_overrides,
               GError **error)
{
    Dl_info info;

    if (!dladdr(dlsym(stock, "qemuRegister"), &info)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    _("the stock QEMU driver has no qemuRegister; reinstall libvirt"));
        return FALSE;
    }
    table.row = row;
    table.stock_base = info.dli_fbase;
    table.overrides = g_memdup2(overrides, n_overrides * sizeof(*overrides));
    table.n_overrides = n_overrides;
    table.ours = g_new0(gpointer, row->table_slots);
    table.ours[0] = (gpointer) "QEMU";
    *(StockFn_connectOpen *)&table.ours[row->slot[SLOT_connectOpen]] = connect_open;
    connect_driver.hypervisor = table.ours;
    if (symbols.virRegisterConnectDriver(&connect_driver, true) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    _("libvirt takes no further driver: %1$s"), virGetLastErrorMessage());
        return FALSE;
    }
    return TRUE;
}

void
table_retire(void)
{
    g_atomic_int_set(&table.retired, TRUE);
}

gpointer
table_stock(StockSlot slot)
{
    gpointer *stock = g_atomic_pointer_get(&table.stock);

    g_return_val_if_fail((guint)slot < SLOT_LAST, NULL);
    return stock ? stock[table.row->slot[slot]] : NULL;
}

const AbiRow *
table_row(void)
{
    return table.row;
}
