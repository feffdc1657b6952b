"""CrowdStrike's events each go to the table that Devo has for their name.

Names: the tables `edr.crowdstrike.cannon.*` of Devo's list of supported technologies, in CrowdStrike's own
spelling of `event_simpleName`. Devo ("CrowdStrike Falcon Data Replicator SQS collector") says that the
event's name is the tag's fourth level, as in `edr.crowdstrike.cannon.dnsrequest`.
"""

import json

import pytest

from flows.catalogue.services import every, replay_unit
from transforms.block import Block, Origin

NAMES = """
    AdditionalHostInfo AgentConnect AgentOnline ArcFileWritten AsepKeyUpdate AsepValueUpdate
    AssociateIndicator AssociateTreeIdWithRoot BillingInfo BITSJobCreated BmpFileWritten CabFileWritten
    ChannelDataDownloadComplete ChannelVersionRequired CommandHistory ConfigStateUpdate CreateService
    CriticalEnvironmentVariableChanged CriticalFileAccessed CurrentSystemTags DcOnline DcStatus
    DCSyncAttempted DcUsbConfigurationDescriptor DcUsbDeviceBlocked DcUsbDeviceConnected
    DcUsbDeviceDisconnected DcUsbEndpointDescriptor DcUsbHIDDescriptor DcUsbInterfaceDescriptor
    DeliverLocalFXToCloud DetectionExcluded DirectoryCreate DirectoryTraversalOverSMB DiskCapacity
    DllInjection DmpFileWritten DnsRequest DocumentProgramInjectedThread DriverLoad DwgFileWritten
    ELFFileWritten EndOfProcess ErrorEvent EtwComponentResponse EtwErrorEvent ExecutableDeleted
    FalconServiceStatus FileDeleted FileDeleteInfo FileOpenInfo FileRenameInfo FirewallChangeOption
    FirewallDeleteRule FirewallSetRule FirmwareAnalysisHardwareData FirmwareAnalysisStatus
    FsPostOpenSnapshotFile FsVolumeMounted FsVolumeUnmounted GenericFileWritten GifFileWritten
    GzipFileWritten HostedServiceStarted HostedServiceStopped HostInfo HostnameChanged ImageHash
    InjectedThread InstalledApplication InstalledUpdates IOSessionConnected IOSessionLoggedOn
    JarFileWritten JavaClassFileWritten JpegFileWritten KernelModeLoadImage LFODownloadConfirmation
    LocalIpAddressIP4 LocalIpAddressIP6 LocalIpAddressRemovedIP4 LocalIpAddressRemovedIP6
    LsassHandleFromUnsignedModule ManifestDownloadComplete ModifyServiceBinary NeighborListIP4
    NeighborListIP6 NetShareAdd NetShareSecurityModify NetworkCapableAsepWrite NetworkCloseIP4
    NetworkCloseIP6 NetworkConnectIP4 NetworkConnectIP6 NetworkListenIP4 NetworkListenIP6
    NetworkReceiveAcceptIP4 NetworkReceiveAcceptIP6 NewExecutableRenamed NewExecutableWritten
    NewScriptWritten OleFileWritten OoxmlFileWritten OsVersionInfo PackedExecutableWritten
    PdfFileWritten PeFileWritten PeVersionInfo PngFileWritten PrivilegedProcessHandleFromUnsignedModule
    ProcessInjection ProcessRollup2 ProcessRollup2Stats ProcessSelfDeleted PromiscuousBindIP4
    QueueApcEtw RansomwareOpenFile RarFileWritten RawBindIP4 RawBindIP6 ReflectiveDotnetModuleLoad
    RegGenericValueUpdate RegisterRawInputDevicesEtw RegSystemConfigValueUpdate
    RemovableMediaVolumeMounted ResourceUtilization RtfFileWritten SAMHashDumpFromUnsignedModule
    ScheduledTaskDeleted ScheduledTaskModified ScheduledTaskRegistered ScreenshotTakenEtw
    ScriptControlDetectInfo ScriptControlErrorEvent ScriptControlScanTelemetry SensitiveWmiQuery
    SensorHeartbeat ServiceStarted SetWinEventHookEtw SevenZipFileWritten SignInfoError
    SignInfoWithCertAndContext SignInfoWithContext SmbClientShareClosedEtw SmbClientShareOpenedEtw
    SmbServerShareOpenedEtw SnapshotVolumeMounted SuspectCreateThreadStack SuspiciousCreateSymbolicLink
    SuspiciousLackOfProcessRollupEvents SuspiciousPrivilegedProcessHandle SuspiciousRegAsepUpdate
    SyntheticProcessRollup2 SystemCapacity TarFileWritten TcgPcrInfo TerminateProcess TiffFileWritten
    TokenImpersonated UmppaErrorEvent UmppcBypassSuspected UpdateManifestDownloadComplete
    UserAccountAddedToGroup UserExceptionDEP UserFontLoad UserIdentity UserInformationEtw UserLogoff
    UserLogon UserLogonFailed UserLogonFailed2 VolumeSnapshotCreated VolumeSnapshotDeleted
    WfpFilterTamperingFilterAdded WfpFilterTamperingFilterDeleted WmiCreateProcess
    WmiFilterConsumerBindingEtw WmiProviderRegistrationEtw WroteExeAndGeneratedServiceEvent
    ZipFileWritten
""".split()  # noqa: SIM905 - read as a list
MISSPELT = {
    "ArcFileWritten": "arcfilewrtitten",
    "DocumentProgramInjectedThread": "documentproograminjectedthread",
    "HostedServiceStopped": "hostedservicesttoped",
    "LsassHandleFromUnsignedModule": "lsasshandlefromunisgnedmodule",
    "PrivilegedProcessHandleFromUnsignedModule": "privilegedprocesshandledfromunisgnedmodule",
    "ProcessSelfDeleted": "processelfdeleted",
    "SuspiciousLackOfProcessRollupEvents": "suspiciousslackofprocessrollupevents",
    "ZipFileWritten": "zipfilewriten",
}
"""What the list has otherwise than the rule makes it; Devo's collector follows the rule, and so do we."""


def tags(*events: dict[str, object], service: str = "aws_sqs_fdr") -> list[tuple[str, int]]:
    """Return the tags of events, with the number of each, in the order in which they are sent."""
    payload = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    unit = replay_unit(every()[service], None)
    made = unit.service.transform(unit)(Block(payload, len(events), Origin(service, object="s3://b/data/x")))
    return [(one.tag, one.count) for one in made]


@pytest.mark.parametrize("service", ["aws_sqs_fdr", "aws_sqs_fdr_large"])
def test_each_event_has_the_documented_tag(service):
    """All names that Devo has tables for, in one object: each event goes to its own, lower case."""
    found = tags(*({"event_simpleName": name, "aid": "a"} for name in NAMES), service=service)
    assert found == [(f"edr.crowdstrike.cannon.{name.lower()}", 1) for name in NAMES]


def test_the_list_is_devos():
    """The names are as many as the tables, and but for misprints of the list they are theirs."""
    assert len(NAMES) == len({*NAMES}) == 180
    assert {*MISSPELT} < {*NAMES}
    assert all(
        len(name) == len(table) or abs(len(name) - len(table)) == 1 for name, table in MISSPELT.items()
    )


@pytest.mark.parametrize("name", ["", None, 7, {}])
def test_an_event_without_a_name_shares_the_table_above(name):
    """Inventories (aidmaster, managedassets …) have no event_simpleName."""
    (found, _), *_ = tags({"aid": "a", **({} if name is None else {"event_simpleName": name})})
    assert found in {"edr.crowdstrike.cannon", "edr.crowdstrike.cannon.7", "edr.crowdstrike.cannon.unknown"}
