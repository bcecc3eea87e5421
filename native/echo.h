/*
 * The kernel's echo sockets, socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP): who may open one says
 * net.ipv4.ping_group_range. The kernel puts the identifier and the checksum in, and gives the replies to it.
 */
#ifndef TUNSTACK_ECHO_H
#define TUNSTACK_ECHO_H

#include <node_api.h>

/* Adds echoOpen, echoSend and echoClose to the addon (lib/device/tun/addon.ts has the types). */
void echo_export(napi_env env, napi_value exports);

#endif
